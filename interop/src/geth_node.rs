use std::{
    path::{Path, PathBuf},
    process::Command,
};

use devp2p_core::Node;
use serde_json::Value;

use crate::{
    process::{PATIENCE, Process},
    program::{go_build, output},
};

/// The program of `geth-node/`: a whole node of go-ethereum, and its RPC client.
#[derive(Debug)]
pub struct GethNode {
    program: PathBuf,
}

/// A running node of go-ethereum. It is killed when this is dropped.
#[derive(Debug)]
pub struct NodeUnderTest {
    _process: Process<Value>,
    node: Node,
    ipc: String,
}

/// A running client of go-ethereum's that has subscribed to peer events. It is killed when this is
/// dropped.
#[derive(Debug)]
pub struct Watcher(Process<Value>);

impl GethNode {
    /// Builds the program unless the same sources were built before.
    ///
    /// An error says what the machine lacks: Go, or the modules.
    pub(crate) fn build() -> Result<Self, String> {
        Ok(Self { program: go_build("geth-node")? })
    }

    /// Starts a node that keeps what is its own in this folder.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn node(&self, datadir: &Path) -> NodeUnderTest {
        let mut command = Command::new(&self.program);
        command.args(["node", "-datadir"]).arg(datadir);
        let mut process: Process<Value> = Process::spawn("geth-node", command);
        let ready = process.expect("ready", PATIENCE, |line| named(line, "ready")).await;
        let text = |name| ready.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let node = text("enode").parse().expect("a peer prints a good URL");
        NodeUnderTest { _process: process, node, ipc: text("ipc") }
    }

    /// What go-ethereum's client is answered at this URL or socket: an object with `result`, or with
    /// `error` and in it `code` and `message`.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn call(&self, url: &str, method: &str, arguments: &[Value]) -> Value {
        let arguments = arguments.iter().map(ToString::to_string);
        let mut command = Command::new(&self.program);
        command.args(["call", "-url", url, method]).args(arguments);
        let told = output(&mut command).unwrap_or_else(|error| panic!("{method}: {error}"));
        serde_json::from_str(&told).expect("it prints JSON")
    }

    /// Subscribes to peer events at this URL or socket.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn watch(&self, url: &str) -> Watcher {
        let mut command = Command::new(&self.program);
        command.args(["watch", "-url", url]);
        let mut process: Process<Value> = Process::spawn("geth-node watch", command);
        process.expect("subscribed", PATIENCE, |line| named(line, "subscribed")).await;
        Watcher(process)
    }
}

fn named(line: &Value, event: &str) -> Option<Value> {
    (line["event"] == event).then(|| line.clone())
}

impl NodeUnderTest {
    /// The node, at its real port.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Its socket for RPC.
    pub fn ipc(&self) -> &str {
        &self.ipc
    }
}

impl Watcher {
    /// Waits for a peer event of this type.
    pub async fn told(&mut self, kind: &str) -> Value {
        let is_of_kind = |it: &&Value| it.get("type").and_then(Value::as_str) == Some(kind);
        self.0.expect(kind, PATIENCE, |line| line.get("it").filter(is_of_kind).cloned()).await
    }
}
