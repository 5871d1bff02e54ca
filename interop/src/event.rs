use std::fmt::Display;

use data_encoding::HEXLOWER_PERMISSIVE;
use devp2p_core::NodeId;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What a foreign peer tells of itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields repeat the names on the wire; variants say the rest")]
pub enum Event {
    /// It listens. Discovery v5 alone gives no URL.
    Ready {
        #[serde(default)]
        enode: String,
        enr: String,
    },
    /// A session began. ethereumjs does not tell the flags.
    PeerAdd {
        #[serde(deserialize_with = "parsed")]
        id: NodeId,
        #[serde(default)]
        name: String,
        #[serde(default)]
        caps: Vec<String>,
        inbound: Option<bool>,
        trusted: Option<bool>,
        #[serde(rename = "static")]
        is_static: Option<bool>,
    },
    /// A session ended. geth gives a reason only for a Disconnect of either side.
    PeerDrop {
        #[serde(deserialize_with = "parsed")]
        id: NodeId,
        reason: Option<u8>,
        by_remote: Option<bool>,
        error: Option<String>,
    },
    /// geth: a step of setting up a connection, mostly a failure; `log` is the line of its log.
    Setup {
        log: String,
        #[serde(default, deserialize_with = "maybe_parsed")]
        id: Option<NodeId>,
        reason: Option<u8>,
        error: Option<String>,
    },
    /// A test subprotocol began to run.
    Running {
        #[serde(deserialize_with = "parsed")]
        id: NodeId,
        proto: String,
    },
    /// A batch has been received.
    Received(Batch),
    /// A batch has been sent; `acked` tells whether our tally of it is the same.
    Sent {
        #[serde(flatten)]
        batch: Batch,
        acked: Option<bool>,
        error: Option<String>,
    },
    /// An echo came back.
    Echoed {
        #[serde(deserialize_with = "parsed")]
        id: NodeId,
        proto: String,
        equal: Option<bool>,
        micros: Option<u64>,
        error: Option<String>,
    },
    /// The answer to "peers".
    Peers { peers: Option<Vec<Value>> },
    /// The Status of eth has arrived.
    Status {
        #[serde(deserialize_with = "parsed")]
        id: NodeId,
        version: String,
        status: Value,
    },
    /// Discovery: the answer to the command with this number.
    Answer {
        call: u32,
        #[serde(default)]
        result: Value,
        error: Option<String>,
    },
    /// Discovery: a node in the table answered a PING.
    NodeVerified {
        #[serde(deserialize_with = "parsed")]
        id: NodeId,
    },
    /// sigp and chainsafe: a node has a place in the table.
    NodeAdded {
        #[serde(deserialize_with = "parsed")]
        id: NodeId,
    },
    /// Discovery: a node in the table answered no more, and is in it no more.
    NodeRemoved {
        #[serde(deserialize_with = "parsed")]
        id: NodeId,
    },
    /// geth's discovery: a packet arrived that is worth nothing.
    BadPacket { addr: String, error: String },
    /// geth's discovery: a packet, if it is told to name them, or one that failed.
    Packet {
        #[serde(deserialize_with = "parsed")]
        id: NodeId,
        kind: String,
        sent: bool,
        error: Option<String>,
    },
    /// A command failed, or a session did.
    Error { cmd: Option<String>, error: String },
    /// It has stopped.
    Stopped,
    /// Raw: a connection is past the handshake.
    Conn {
        conn: u32,
        inbound: bool,
        #[serde(deserialize_with = "parsed")]
        id: NodeId,
    },
    /// Raw: a handshake failed.
    HandshakeFailed { inbound: bool, error: String },
    /// Raw: a message arrived; of a long payload the first 4 KiB.
    Frame {
        conn: u32,
        code: u64,
        size: usize,
        compressed: bool,
        #[serde(rename = "hex", deserialize_with = "hex")]
        payload: Vec<u8>,
    },
    /// Raw: a connection is closed.
    Closed { conn: u32, error: String },
}

/// What one side saw of a batch of messages. Equal tallies mean that nothing was lost, changed
/// or reordered.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Batch {
    /// The other side of the session.
    #[serde(deserialize_with = "parsed")]
    pub id: NodeId,
    /// The subprotocol.
    pub proto: String,
    /// How many messages.
    pub count: u64,
    /// The sum of their payloads, in bytes.
    pub size: u64,
    /// SHA-256 over the code, the length and the payload of each in turn, as hex.
    pub sha256: String,
}

fn parsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NodeId, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|error: devp2p_core::ParseNodeIdError| invalid(&error))
}

fn maybe_parsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NodeId>, D::Error> {
    parsed(deserializer).map(Some)
}

fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|error| invalid(&error))
}

fn invalid<E: serde::de::Error>(error: &impl Display) -> E {
    E::custom(error)
}
