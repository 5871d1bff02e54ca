//! A name server in memory.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use devp2p_core::Record;
use devp2p_dnsdisc::{AnyResolver, Link, LookupError, Resolver, Tree, Txt};

use super::key;

/// A list of nodes, as it is published.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    link: Link,
    txt: Arc<BTreeMap<String, String>>,
    asked: Arc<AtomicUsize>,
}

impl Zone {
    /// The list of these records at this domain.
    pub(crate) fn of(domain: &str, records: impl IntoIterator<Item = Record>) -> Self {
        let tree = Tree::new(1, records, []).unwrap().sign(&key(9_999), domain).unwrap();
        let txt = Arc::new(tree.txt().collect());
        Self { link: tree.link().clone(), txt, asked: Arc::default() }
    }

    pub(crate) fn link(&self) -> Link {
        self.link.clone()
    }

    pub(crate) fn resolver(&self) -> AnyResolver {
        AnyResolver::new(self.clone())
    }

    /// How often a name was looked up.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Resolver for Zone {
    async fn lookup_txt(&self, name: &str) -> Result<Vec<Txt>, LookupError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let txt = self.txt.get(name).ok_or(LookupError::NotFound)?;
        Ok(vec![txt.as_str().into()])
    }
}
