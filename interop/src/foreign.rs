use std::{net::SocketAddr, time::Duration};

use devp2p_core::{Node, NodeId, Record};
use serde_json::{Value, json};

use crate::{
    Batch, Event,
    process::{BATCH_PATIENCE, PATIENCE, Process},
};

/// A running peer of another implementation, with the subprotocol `itest`. It is killed when
/// this is dropped.
#[derive(Debug)]
pub struct Foreign {
    process: Process,
    node: Node,
    record: Option<Record>,
    /// The questions that discovery was asked so far.
    calls: u32,
}

/// The end of a session as the foreign peer saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The reason in the Disconnect of either side, if there was one.
    pub reason: Option<u8>,
    /// Whether it was ours.
    pub by_remote: bool,
    /// What it says about it.
    pub error: String,
}

impl Foreign {
    pub(crate) async fn start(mut process: Process) -> Self {
        let (node, record) = process.ready().await;
        Self { process, node, record, calls: 0 }
    }

    /// The node, at its real port.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// The record that it had when it started, if it has any.
    pub const fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Its id.
    pub const fn id(&self) -> NodeId {
        self.node.id()
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.number()
    }

    /// Has it dial `node`; geth takes it for a static node and keeps dialing.
    pub async fn dial(&mut self, node: &Node) {
        self.node_command("dial", node).await;
    }

    /// geth: forgets a static node and disconnects it.
    pub async fn remove_peer(&mut self, node: &Node) {
        self.node_command("removepeer", node).await;
    }

    /// geth: trusts a node, from this call's return on.
    pub async fn trust(&mut self, node: &Node) {
        self.node_command("trust", node).await;
        // Its answer to the next command comes after that.
        self.peer_count().await;
    }

    /// Asks discovery something, and gives the number of the answer.
    pub(crate) async fn call(&mut self, command: &str, mut arguments: Value) -> u32 {
        self.calls += 1;
        if let Value::Object(fields) = &mut arguments {
            fields.insert("cmd".to_owned(), command.into());
            fields.insert("call".to_owned(), self.calls.into());
        }
        self.process.command(arguments).await;
        self.calls
    }

    /// Has it end its discovery and begin again elsewhere.
    pub(crate) async fn restart(&mut self, listen: SocketAddr) {
        self.process.command(json!({ "cmd": "restart", "listen": listen.to_string() })).await;
        (self.node, self.record) = self.process.ready().await;
    }

    async fn node_command(&mut self, command: &str, node: &Node) {
        self.process.command(json!({ "cmd": command, "enode": node.to_enode() })).await;
    }

    /// Has it disconnect from `id`.
    pub async fn disconnect(&mut self, id: NodeId, reason: u8) {
        let command = json!({ "cmd": "disconnect", "id": id.to_string(), "reason": reason });
        self.process.command(command).await;
    }

    /// geth: has the subprotocol `itest` return: "ok", "error" or "bad message".
    pub async fn end_subprotocol(&mut self, id: NodeId, how: &str) {
        let command =
            json!({ "cmd": "return", "id": id.to_string(), "proto": "itest", "how": how });
        self.process.command(command).await;
    }

    /// Has it begin to send `count` messages of `min` to `max` bytes, and a mark after them.
    pub async fn begin_batch(
        &mut self,
        id: NodeId,
        proto: &str,
        count: u64,
        (min, max): (usize, usize),
    ) {
        let command = json!({
            "cmd": "send", "id": id.to_string(), "proto": proto,
            "count": count, "min": min, "max": max, "seed": count,
        });
        self.process.command(command).await;
    }

    /// The end of a batch that it sent: its own tally, which ours must have matched.
    ///
    /// # Panics
    /// When the tallies differ.
    pub async fn sent(&mut self, proto: &str) -> Batch {
        let what = format!("a batch sent over {proto}");
        let (batch, acked, error) = self
            .expect_within(&what, BATCH_PATIENCE, |event| match event {
                Event::Sent { batch, acked, error } if batch.proto == proto => {
                    Some((batch.clone(), *acked, error.clone()))
                }
                _ => None,
            })
            .await;
        assert_eq!((acked, error), (Some(true), None), "the batch arrived as it was sent");
        batch
    }

    /// Its tally of a batch that we sent.
    pub async fn received(&mut self, proto: &str) -> Batch {
        let what = format!("a batch received over {proto}");
        self.expect_within(&what, BATCH_PATIENCE, |event| match event {
            Event::Received(batch) if batch.proto == proto => Some(batch.clone()),
            _ => None,
        })
        .await
    }

    /// Has it send one message that comes back unchanged, and gives the time that took.
    ///
    /// # Panics
    /// When it does not come back.
    pub async fn echo(&mut self, id: NodeId, proto: &str, size: usize) -> Duration {
        let command =
            json!({ "cmd": "echo", "id": id.to_string(), "proto": proto, "max": size, "seed": 1 });
        self.process.command(command).await;
        let (equal, micros, error) = self
            .expect("an echo", |event| match event {
                Event::Echoed { equal, micros, error, .. } => {
                    Some((*equal, *micros, error.clone()))
                }
                _ => None,
            })
            .await;
        assert_eq!((equal, error), (Some(true), None), "the echo came back as it was sent");
        Duration::from_micros(micros.unwrap_or_default())
    }

    /// Waits for the beginning of a session with `id`, and gives the event.
    pub async fn added(&mut self, id: NodeId) -> Event {
        let what = format!("a session with {id:#}");
        self.expect(&what, |event| match event {
            Event::PeerAdd { id: peer, .. } if *peer == id => Some(event.clone()),
            _ => None,
        })
        .await
    }

    /// Waits for the end of a session with `id`.
    pub async fn dropped(&mut self, id: NodeId) -> Dropped {
        let what = format!("the end of the session with {id:#}");
        self.expect(&what, |event| match event {
            Event::PeerDrop { id: peer, reason, by_remote, error } if *peer == id => {
                Some(Dropped {
                    reason: *reason,
                    by_remote: by_remote.unwrap_or(false),
                    error: error.clone().unwrap_or_default(),
                })
            }
            _ => None,
        })
        .await
    }

    /// geth: waits until setting up a connection with `id` failed with this reason.
    pub async fn refused(&mut self, id: NodeId, reason: u8) {
        let what = format!("a connection with {id:#} refused with {reason}");
        self.expect(&what, |event| match event {
            Event::Setup { id: Some(peer), reason: Some(number), .. } => {
                (*peer == id && *number == reason).then_some(())
            }
            _ => None,
        })
        .await;
    }

    /// Waits for the Status of eth from `id`, and gives the version and the fields.
    pub async fn status(&mut self, id: NodeId) -> (String, Value) {
        self.expect("the remote's status", |event| match event {
            Event::Status { id: peer, version, status } if *peer == id => {
                Some((version.clone(), status.clone()))
            }
            _ => None,
        })
        .await
    }

    /// How many peers it has now.
    pub async fn peer_count(&mut self) -> usize {
        self.process.command(json!({ "cmd": "peers" })).await;
        self.expect("its peers", |event| match event {
            Event::Peers { peers } => Some(peers.as_ref().map_or(0, Vec::len)),
            _ => None,
        })
        .await
    }

    /// The first event, past or future, of which `pick` makes something; those that it passes
    /// over stay for later calls.
    pub async fn expect<T>(&mut self, what: &str, pick: impl FnMut(&Event) -> Option<T>) -> T {
        self.process.expect(what, PATIENCE, pick).await
    }

    /// [`expect`](Self::expect) with another deadline.
    pub async fn expect_within<T>(
        &mut self,
        what: &str,
        within: Duration,
        pick: impl FnMut(&Event) -> Option<T>,
    ) -> T {
        self.process.expect(what, within, pick).await
    }

    /// What `pick` makes of the events that no call has taken so far; they stay.
    pub fn seen<T>(&mut self, pick: impl FnMut(&Event) -> Option<T>) -> Vec<T> {
        self.process.seen(pick)
    }

    /// Forgets the events so far.
    pub fn forget(&mut self) {
        self.process.forget();
    }

    /// Stops it properly and waits until it has ended.
    pub async fn stop(mut self) {
        self.process.command(json!({ "cmd": "stop" })).await;
        self.expect("stopped", |event| matches!(event, Event::Stopped).then_some(())).await;
        self.process.ended(PATIENCE).await;
    }

    /// Kills it without a goodbye.
    pub async fn kill(self) {
        self.process.kill().await;
    }
}
