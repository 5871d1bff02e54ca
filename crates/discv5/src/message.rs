//! The messages that packets carry: a type, and RLP.
//!
//! What is read may have more list elements than are known here; they are not looked at. All else
//! is exact: a request id of 9 bytes, a number with a leading zero, bytes after the list, are
//! errors. What is written is what is read.
//!
//! ```
//! use devp2p_discv5::message::{Body, FindNode, Message, RequestId};
//!
//! let request_id = RequestId::new(b"any").ok_or("eight bytes at most")?;
//! let message = Message { request_id, body: Body::FindNode(FindNode { distances: vec![256, 255] }) };
//! assert_eq!(Message::decode(&message.to_bytes()?)?, message);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Source: [discv5-wire.md, protocol messages].
//!
//! [discv5-wire.md, protocol messages]: https://github.com/ethereum/devp2p/blob/master/discv5/discv5-wire.md#protocol-messages

mod decode;
mod error;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use bytes::{Bytes, BytesMut};
use devp2p_core::RlpItem;
use rlp::RlpStream;

pub use self::error::{MessageEncodeError, MessageError};

/// The farthest that two nodes can be from each other, as FINDNODE counts it.
pub const MAX_DISTANCE: u16 = 256;
/// The most records that are read from one NODES message. No more fit into a packet: the smallest
/// has 119 bytes.
pub const MAX_RECORDS: usize = 10;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The id of a request; its answers have the same.
    pub request_id: RequestId,
    /// The rest.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// "Are you there?"
    Ping(Ping),
    /// The answer to PING.
    Pong(Pong),
    /// "Whom do you know at these distances?"
    FindNode(FindNode),
    /// An answer to FINDNODE, or a part of one.
    Nodes(Nodes),
    /// A request of another protocol.
    TalkRequest(TalkRequest),
    /// The answer to TALKREQ.
    TalkResponse(TalkResponse),
}

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// PING, 0x01.
    Ping,
    /// PONG, 0x02.
    Pong,
    /// FINDNODE, 0x03.
    FindNode,
    /// NODES, 0x04.
    Nodes,
    /// TALKREQ, 0x05.
    TalkRequest,
    /// TALKRESP, 0x06.
    TalkResponse,
}

/// The id of a request: up to 8 bytes of its sender's choice, none too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// Zeros after the end.
    bytes: [u8; Self::MAX_SIZE],
    size: u8,
}

/// PING: checks that a node is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The sequence number of the sender's record.
    pub enr_seq: u64,
}

/// PONG: the answer to PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The sequence number of the sender's record.
    pub enr_seq: u64,
    /// The address that the PING came from.
    pub ip: IpAddr,
    /// The port that the PING came from.
    pub port: u16,
}

/// FINDNODE: asks for nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindNode {
    /// The logarithmic distances from the receiver; 0 asks for its own record. What is larger than
    /// [`MAX_DISTANCE`] is left out when it is read, for no node is there.
    pub distances: Vec<u16>,
}

/// NODES: the answer to FINDNODE, in one or more messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// In how many messages the answer comes, as the sender says: any number.
    pub total: u64,
    /// The records as they came, each an RLP list. They are not verified: that is as expensive as
    /// a signature, and worth nothing before they are known to be of the distances asked for.
    pub records: Vec<Bytes>,
}

/// TALKREQ: a request of another protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TalkRequest {
    /// The name of the protocol.
    pub protocol: Bytes,
    /// The request.
    pub request: Bytes,
}

/// TALKRESP: the answer to TALKREQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TalkResponse {
    /// The answer; empty where the protocol is unknown.
    pub response: Bytes,
}

impl Message {
    /// The type.
    pub const fn kind(&self) -> MessageKind {
        match self.body {
            Body::Ping(_) => MessageKind::Ping,
            Body::Pong(_) => MessageKind::Pong,
            Body::FindNode(_) => MessageKind::FindNode,
            Body::Nodes(_) => MessageKind::Nodes,
            Body::TalkRequest(_) => MessageKind::TalkRequest,
            Body::TalkResponse(_) => MessageKind::TalkResponse,
        }
    }

    /// Reads a message that was opened. What it holds shares the buffer.
    ///
    /// # Errors
    /// All of [`MessageError`].
    pub fn decode(bytes: &Bytes) -> Result<Self, MessageError> {
        decode::message(bytes)
    }

    /// The message in bytes of its own.
    ///
    /// # Errors
    /// As [`Message::encode`].
    pub fn to_bytes(&self) -> Result<Bytes, MessageEncodeError> {
        let mut buffer = BytesMut::new();
        self.encode(&mut buffer)?;
        Ok(buffer.freeze())
    }

    /// Appends the message to a buffer.
    ///
    /// # Errors
    /// [`MessageEncodeError::Record`]; the buffer is left as it was.
    pub fn encode(&self, buffer: &mut BytesMut) -> Result<(), MessageEncodeError> {
        if let Body::Nodes(nodes) = &self.body
            && !nodes.records.iter().all(|record| is_list(record))
        {
            return Err(MessageEncodeError::Record);
        }
        buffer.extend_from_slice(&[self.kind().code()]);
        let mut rlp = RlpStream::new_with_buffer(std::mem::take(buffer));
        rlp.begin_unbounded_list();
        rlp.append(&self.request_id.as_bytes());
        match &self.body {
            Body::Ping(ping) => {
                rlp.append(&ping.enr_seq);
            }
            Body::Pong(pong) => {
                rlp.append(&pong.enr_seq);
                match pong.ip {
                    IpAddr::V4(ip) => rlp.append(&ip.octets().as_slice()),
                    IpAddr::V6(ip) => rlp.append(&ip.octets().as_slice()),
                };
                rlp.append(&pong.port);
            }
            Body::FindNode(find_node) => {
                rlp.append_list(&find_node.distances);
            }
            Body::Nodes(nodes) => {
                rlp.append(&nodes.total);
                rlp.begin_list(nodes.records.len());
                for record in &nodes.records {
                    rlp.append_raw(record, 1);
                }
            }
            Body::TalkRequest(talk) => {
                rlp.append(&&*talk.protocol);
                rlp.append(&&*talk.request);
            }
            Body::TalkResponse(talk) => {
                rlp.append(&&*talk.response);
            }
        }
        rlp.finalize_unbounded_list();
        *buffer = rlp.out();
        Ok(())
    }
}

impl MessageKind {
    /// All types, in the order of their codes.
    pub const ALL: &'static [Self] = &[
        Self::Ping,
        Self::Pong,
        Self::FindNode,
        Self::Nodes,
        Self::TalkRequest,
        Self::TalkResponse,
    ];

    /// The byte that stands for the type.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ping => 0x01,
            Self::Pong => 0x02,
            Self::FindNode => 0x03,
            Self::Nodes => 0x04,
            Self::TalkRequest => 0x05,
            Self::TalkResponse => 0x06,
        }
    }

    /// The type that a byte stands for.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }

    /// Whether it asks for an answer.
    pub const fn is_request(self) -> bool {
        matches!(self, Self::Ping | Self::FindNode | Self::TalkRequest)
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::FindNode => "FINDNODE",
            Self::Nodes => "NODES",
            Self::TalkRequest => "TALKREQ",
            Self::TalkResponse => "TALKRESP",
        })
    }
}

impl RequestId {
    /// The most bytes.
    pub const MAX_SIZE: usize = 8;

    /// The id with these bytes; `None` for more than [`MAX_SIZE`](Self::MAX_SIZE).
    pub fn new(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX_SIZE];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        Some(Self { bytes, size: u8::try_from(id.len()).ok()? })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.size)).unwrap_or_default()
    }
}

impl From<u64> for RequestId {
    /// All 8 bytes of a number.
    fn from(number: u64) -> Self {
        Self { bytes: number.to_be_bytes(), size: 8 }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestId(")?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

impl Pong {
    /// The endpoint that the PING came from; an IPv4-mapped address is the IPv4 address.
    pub const fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.ip.to_canonical(), self.port)
    }
}

fn is_list(record: &[u8]) -> bool {
    RlpItem::whole(record).is_some_and(|item| item.list().is_some())
}
