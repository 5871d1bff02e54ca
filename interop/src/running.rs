use std::process::Command;

use devp2p_core::{Node, NodeId};
use serde_json::Value;

use crate::process::{PATIENCE, Process};

/// A running `devp2p run --json`. It is killed when this is dropped.
#[derive(Debug)]
pub struct RunningProgram {
    process: Process<Value>,
    node: Node,
}

impl RunningProgram {
    pub(crate) async fn start(mut process: Process<Value>) -> Self {
        let enode = process
            .expect("ready", PATIENCE, |line| {
                line["enode"].as_str().filter(|_| line["event"] == "ready").map(str::to_owned)
            })
            .await;
        let node = enode.parse().expect("the program prints a good URL");
        Self { process, node }
    }

    /// The node, at its real port.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Its id.
    pub const fn id(&self) -> NodeId {
        self.node.id()
    }

    /// Waits for a line of this event about `id`.
    pub async fn expect(&mut self, event: &str, id: NodeId) -> Value {
        let (what, id) = (format!("{event} of {id:#}"), id.to_string());
        self.process
            .expect(&what, PATIENCE, |line| {
                (line["event"] == event && line["id"] == id.as_str()).then(|| line.clone())
            })
            .await
    }

    /// Interrupts it as Ctrl-C does, and waits until it has ended well.
    ///
    /// # Panics
    /// When it does not.
    pub async fn interrupt(self) {
        let sent = Command::new("kill").args(["-INT", &self.process.number().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the signal is sent");
        self.process.ended(PATIENCE).await;
    }
}
