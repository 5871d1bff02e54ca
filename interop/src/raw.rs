use data_encoding::HEXLOWER;
use devp2p_core::{Node, NodeId};
use serde_json::json;

use crate::{
    Event,
    process::{PATIENCE, Process},
};

/// go-ethereum's RLPx connections with nothing on top: what is sent is up to the test, byte for
/// byte. It is killed when this is dropped.
#[derive(Debug)]
pub struct Raw {
    process: Process,
    node: Node,
}

impl Raw {
    pub(crate) async fn start(mut process: Process) -> Self {
        let (node, _) = process.ready().await;
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

    /// Dials, and gives the number of the connection.
    pub async fn dial(&mut self, node: &Node) -> u32 {
        self.process.command(json!({ "cmd": "dial", "enode": node.to_enode() })).await;
        self.connection(node.id(), false).await
    }

    /// Waits until `id` has dialed, and gives the number of the connection.
    pub async fn accept(&mut self, id: NodeId) -> u32 {
        self.connection(id, true).await
    }

    async fn connection(&mut self, id: NodeId, accepted: bool) -> u32 {
        self.process
            .expect("a connection", PATIENCE, |event| match event {
                Event::Conn { conn, inbound, id: remote } => {
                    (*inbound == accepted && *remote == id).then_some(*conn)
                }
                _ => None,
            })
            .await
    }

    /// Sends Hello of this version with the true identity.
    pub async fn hello(&mut self, conn: u32, version: u64, capabilities: &[(&str, u64)]) {
        self.hello_as(conn, version, capabilities, "").await;
    }

    /// Sends Hello with this identity, in hex.
    pub async fn hello_as(&mut self, conn: u32, version: u64, caps: &[(&str, u64)], id: &str) {
        let caps: Vec<_> = caps
            .iter()
            .map(|(name, version)| json!({ "name": name, "version": version }))
            .collect();
        let command = json!({
            "cmd": "hello", "conn": conn, "version": version, "name": "geth raw",
            "caps": caps, "hello_id": id,
        });
        self.process.command(command).await;
    }

    /// Sends one message with this payload as it is.
    pub async fn write(&mut self, conn: u32, code: u64, payload: &[u8]) {
        self.write_message(conn, code, payload, false).await;
    }

    /// Sends one message with this payload in snappy's block format.
    pub async fn write_snappy(&mut self, conn: u32, code: u64, payload: &[u8]) {
        self.write_message(conn, code, payload, true).await;
    }

    async fn write_message(&mut self, conn: u32, code: u64, payload: &[u8], compress: bool) {
        let command = json!({
            "cmd": "write", "conn": conn, "code": code,
            "hex": HEXLOWER.encode(payload), "compress": compress,
        });
        self.process.command(command).await;
    }

    /// Closes the connection without a Disconnect.
    pub async fn close(&mut self, conn: u32) {
        self.process.command(json!({ "cmd": "close", "conn": conn })).await;
    }

    /// Waits for a message with this code, and gives its payload, cut at 4 KiB.
    pub async fn read(&mut self, conn: u32, code: u64) -> Vec<u8> {
        self.read_message(conn, code).await.0
    }

    /// [`read`](Self::read), and whether the payload came compressed.
    pub async fn read_message(&mut self, conn: u32, code: u64) -> (Vec<u8>, bool) {
        let what = format!("a message with code {code}");
        self.process
            .expect(&what, PATIENCE, |event| match event {
                Event::Frame { conn: number, code: read, payload, compressed, .. } => {
                    (*number == conn && *read == code).then(|| (payload.clone(), *compressed))
                }
                _ => None,
            })
            .await
    }

    /// Waits until the connection is closed.
    pub async fn closed(&mut self, conn: u32) {
        self.process
            .expect("a closed connection", PATIENCE, |event| match event {
                Event::Closed { conn: number, .. } => (*number == conn).then_some(()),
                _ => None,
            })
            .await;
    }
}
