use std::time::Duration;

use devp2p_core::{NodeKey, PublicKey};
use serde::Deserialize;
use serde_json::json;

use crate::{Foreign, Geth};

/// Many nodes of geth's discovery v4 in one process of their own, for a benchmark. It is killed
/// when this is dropped.
#[derive(Debug)]
pub struct GethNetwork {
    foreign: Foreign,
}

/// How lookups are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many run at a time.
    pub parallel: usize,
    /// How many of the nodes make them, in turn.
    pub from: usize,
}

/// What became of lookups.
#[derive(Clone, Copy, Debug)]
pub struct Looked {
    /// How long they took.
    pub took: Duration,
    /// How many found exactly the nodes that are nearest.
    pub right: usize,
}

impl GethNetwork {
    /// Starts a node for each key, all with defaults. The first is the bootnode of the others.
    ///
    /// # Panics
    /// When one does not start.
    pub async fn start(geth: &Geth, keys: &[NodeKey]) -> Self {
        Self { foreign: geth.lookups(keys).await }
    }

    /// The operating system's number for its process.
    pub fn process(&self) -> u32 {
        self.foreign.process()
    }

    /// How many nodes that have answered the emptiest table has.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn fewest_known(&mut self) -> usize {
        self.foreign.ask("fewest", json!({})).await.expect("the tables can be read")
    }

    /// Looks for the nodes nearest to each of these targets.
    ///
    /// # Panics
    /// When it does not answer within a minute.
    pub async fn look_up(&mut self, targets: &[PublicKey], plan: Plan) -> Looked {
        #[derive(Deserialize)]
        struct Answer {
            micros: u64,
            right: usize,
        }
        let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
        let arguments = json!({ "targets": targets, "parallel": plan.parallel, "from": plan.from });
        let Answer { micros, right } =
            self.foreign.ask("lookups", arguments).await.expect("targets are keys");
        Looked { took: Duration::from_micros(micros), right }
    }
}
