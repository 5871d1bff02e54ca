//! The driver, on paused time.
#![expect(clippy::disallowed_methods, reason = "a test reads the clock that it paused")]

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use devp2p_dnsdisc::{
    AnyResolver, Client, Config, Driver, Event, LookupError, Nodes, Resolver, SignedTree, Txt,
};
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::{sleep, timeout};

use crate::world::{SECOND, ids, records, sorted, tree};

/// A name server that takes its time.
#[derive(Clone, Default)]
struct Slow {
    zone: Arc<BTreeMap<String, String>>,
    asked: Arc<AtomicUsize>,
    silent: bool,
}

impl Slow {
    fn of(tree: &SignedTree) -> Self {
        Self { zone: Arc::new(tree.txt().collect()), ..Self::default() }
    }
}

impl Resolver for Slow {
    async fn lookup_txt(&self, name: &str) -> Result<Vec<Txt>, LookupError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(80)).await;
        if self.silent {
            pending::<()>().await;
        }
        self.zone.get(name).map(|text| vec![text.as_str().into()]).ok_or(LookupError::NotFound)
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_come_round_after_round_and_no_lookup_is_lost() {
    let made = tree("nodes.example", 1, records(30), vec![]);
    let resolver = Slow::of(&made);
    let asked = Arc::clone(&resolver.asked);
    let resolver = AnyResolver::new(resolver);
    let mut nodes = Nodes::new(Config::default(), [made.link().clone()], resolver, [1; 32]);
    sleep(100 * SECOND).await;
    assert_eq!(asked.load(Ordering::Relaxed), 0, "nobody polls");
    for _ in 0..3 {
        let mut found = Vec::new();
        while found.len() < 30 {
            // Whoever waits gives up again and again.
            if let Ok(node) = timeout(Duration::from_millis(50), nodes.next()).await {
                found.push(node.unwrap().id());
            }
        }
        assert_eq!(sorted(found), ids(&records(30)));
    }
    assert_eq!(asked.load(Ordering::Relaxed), made.txt().count());
}

#[tokio::test(start_paused = true)]
async fn a_few_nodes_are_a_few_lookups() {
    let made = tree("nodes.example", 1, records(500), vec![]);
    let resolver = Slow::of(&made);
    let asked = Arc::clone(&resolver.asked);
    let resolver = AnyResolver::new(resolver);
    let mut nodes = Nodes::new(Config::default(), [made.link().clone()], resolver, [1; 32]);
    for _ in 0..3 {
        assert!(nodes.next().await.is_some());
    }
    sleep(100 * SECOND).await;
    let count = asked.load(Ordering::Relaxed);
    assert!(count < 120, "{count}");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_never_answers_is_not_waited_for() {
    let made = tree("nodes.example", 1, records(3), vec![]);
    let resolver = AnyResolver::new(Slow { silent: true, ..Slow::of(&made) });
    let mut driver = {
        let now = tokio::time::Instant::now().into_std();
        let client = Client::new(Config::default(), [made.link().clone()], [1; 32], now);
        Driver::new(client, resolver)
    };
    assert_eq!(driver.next().now_or_never(), None, "nothing is wanted");
    driver.want(1);
    let start = tokio::time::Instant::now();
    let event = driver.next().await.unwrap();
    assert!(matches!(event, Event::Failed { .. }), "{event:?}");
    assert_eq!(start.elapsed(), 5 * SECOND);
}
