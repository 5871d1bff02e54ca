use std::{net::SocketAddr, time::Duration};

use data_encoding::HEXLOWER;
use devp2p_core::{Node, NodeId, PublicKey, Record};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    Event, Foreign,
    process::{BATCH_PATIENCE, now},
};

/// How often a table is looked at that tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a question came to: an error is the text that the foreign peer gave.
pub type Answer<T> = Result<T, String>;

/// The answer to a PING as the foreign peer saw it.
#[derive(Clone, Debug, Deserialize)]
pub struct Ponged {
    /// How long it took, in microseconds.
    pub micros: u64,
    /// geth: the number of our record.
    #[serde(default)]
    pub enr_seq: u64,
    /// geth: its endpoint as we see it.
    #[serde(default)]
    pub to: String,
}

/// A node that a foreign peer knows.
#[derive(Clone, Debug, Deserialize)]
pub struct Known {
    /// Its URL.
    enode: String,
    /// Its record, if that is known.
    #[serde(default)]
    enr: Option<String>,
    /// geth: the number of the record, 0 if it is not known.
    #[serde(default)]
    pub seq: u64,
    /// Whether it has answered, for one in the table.
    #[serde(default)]
    pub live: bool,
}

impl Known {
    /// The node, without its record.
    ///
    /// # Panics
    /// When its URL is bad.
    pub fn node(&self) -> Node {
        self.enode.parse().expect("a peer gives a good URL")
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.node().id()
    }

    /// Its record, if that is known.
    ///
    /// # Panics
    /// When it is bad.
    pub fn record(&self) -> Option<Record> {
        self.enr.as_ref().map(|text| text.parse().expect("a peer gives a good record"))
    }
}

/// Discovery v4: for a server of geth's with `-discv4`, geth's discovery alone, and ethereumjs with
/// `--discv4`.
impl Foreign {
    /// Has it send PING.
    ///
    /// # Errors
    /// What it says, mostly that no answer came.
    pub async fn ping(&mut self, node: &Node) -> Answer<Ponged> {
        self.ask("ping", json!({ "enode": node.to_enode() })).await
    }

    /// geth: a whole lookup for a node's key.
    ///
    /// # Errors
    /// What it says.
    pub async fn lookup(&mut self, node: &Node) -> Answer<Vec<Known>> {
        self.ask("lookup", json!({ "enode": node.to_enode() })).await
    }

    /// geth: the first `count` nodes that random lookups find.
    ///
    /// # Errors
    /// That it found fewer in half a minute.
    pub async fn random_nodes(&mut self, count: usize) -> Answer<Vec<Known>> {
        self.ask("randomnodes", json!({ "count": count })).await
    }

    /// geth: the newest that it can find of a node.
    ///
    /// # Errors
    /// What it says.
    pub async fn resolve(&mut self, node: &Node) -> Answer<Known> {
        self.ask("resolve", json!({ "enode": node.to_enode() })).await
    }

    /// geth: a node's record, from itself.
    ///
    /// # Errors
    /// What it says, mostly that no answer came.
    pub async fn request_enr(&mut self, node: &Node) -> Answer<Known> {
        self.ask("requestenr", json!({ "enode": node.to_enode() })).await
    }

    /// geth: itself, with its record.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn describe_itself(&mut self) -> Known {
        self.ask("self", json!({})).await.expect("a node knows itself")
    }

    /// geth: sets an entry of its record to a string of bytes, and gives it with the new record.
    ///
    /// # Panics
    /// When that fails.
    pub async fn set_entry(&mut self, key: &str, value: &[u8]) -> Known {
        let arguments = json!({ "key": key, "hex": HEXLOWER.encode(value) });
        self.ask("set", arguments).await.expect("any entry can be set")
    }

    /// geth: its discovery begins again at another address, with the same key and database.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn listen_again(&mut self, address: SocketAddr) {
        self.restart(address).await;
    }

    /// ethereumjs: has it send PING, and take whoever answers into its table.
    ///
    /// # Errors
    /// What it says, mostly that no answer came.
    pub async fn add_node(&mut self, node: &Node) -> Answer<Known> {
        self.ask("addnode", json!({ "enode": node.to_enode() })).await
    }

    /// ethereumjs: has it send one FINDNODE, and gives the endpoints in the first NEIGHBORS.
    ///
    /// # Errors
    /// What it says.
    pub async fn find_node(&mut self, node: &Node, target: PublicKey) -> Answer<Vec<SocketAddr>> {
        let arguments = json!({ "enode": node.to_enode(), "target": target.to_string() });
        self.ask("findnode", arguments).await
    }

    /// ethereumjs: has it ask a part of its table for nodes, as it does now and then by itself.
    ///
    /// # Panics
    /// When it does not.
    pub async fn refresh(&mut self) {
        self.ask::<Value>("refresh", json!({})).await.expect("the table is refreshed");
    }

    /// Its table.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn table(&mut self) -> Vec<Known> {
        self.ask("table", json!({})).await.expect("a node knows its table")
    }

    /// Waits until a node in its table has answered it, from this call on or before it.
    pub async fn verified(&mut self, id: NodeId) {
        let what = format!("{id:#} to be verified");
        self.expect_within(&what, BATCH_PATIENCE, |event| match event {
            Event::NodeVerified { id: node } => (*node == id).then_some(()),
            _ => None,
        })
        .await;
    }

    /// Waits until its table is like this, and gives it. Tables tell not everything that happens.
    ///
    /// # Panics
    /// When it is not for a minute.
    pub async fn table_when(&mut self, what: &str, is_so: impl Fn(&[Known]) -> bool) -> Vec<Known> {
        let deadline = now() + BATCH_PATIENCE;
        loop {
            let table = self.table().await;
            if is_so(&table) {
                return table;
            }
            assert!(now() < deadline, "not in a minute: {what}; there is {table:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub(crate) async fn ask<T: DeserializeOwned>(
        &mut self,
        command: &str,
        arguments: Value,
    ) -> Answer<T> {
        let number = self.call(command, arguments).await;
        let (result, error) = self
            .expect_within(command, BATCH_PATIENCE, |event| match event {
                Event::Answer { call, result, error } if *call == number => {
                    Some((result.clone(), error.clone()))
                }
                _ => None,
            })
            .await;
        match error {
            Some(error) => Err(error),
            None => Ok(serde_json::from_value(result).expect("the answer is what was asked for")),
        }
    }
}
