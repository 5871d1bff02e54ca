use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use bytes::{Bytes, BytesMut};
use devp2p_core::{NodeId, PublicKey, RlpItem};
use rlp::RlpStream;
use sha3::{Digest as _, Keccak256};

/// The Keccak-256 hash of a datagram, without the hash itself.
pub type Hash = [u8; 32];

/// A packet without its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// "Are you there?"
    Ping(Ping),
    /// The answer to PING.
    Pong(Pong),
    /// "Whom do you know near this target?"
    FindNode(FindNode),
    /// An answer to FINDNODE, or a part of one.
    Neighbors(Neighbors),
    /// "Which is your record?" (EIP-868)
    EnrRequest(EnrRequest),
    /// The answer to ENRREQUEST (EIP-868).
    EnrResponse(EnrResponse),
}

/// The type of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketKind {
    /// PING, 0x01.
    Ping,
    /// PONG, 0x02.
    Pong,
    /// FINDNODE, 0x03.
    FindNode,
    /// NEIGHBORS, 0x04.
    Neighbors,
    /// ENRREQUEST, 0x05.
    EnrRequest,
    /// ENRRESPONSE, 0x06.
    EnrResponse,
}

/// PING: checks that a node is alive, and proves our own endpoint to it by its answer's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The version of the protocol, 4. Others are no reason to refuse it.
    pub version: u64,
    /// The sender as it sees itself. Only the TCP port is of use.
    pub from: Endpoint,
    /// The receiver as the sender sees it.
    pub to: Endpoint,
    /// The Unix time in seconds from which on it is not to be answered.
    pub expiration: u64,
    /// The sequence number of the sender's record, if it has one (EIP-868).
    pub enr_seq: Option<u64>,
}

/// PONG: the answer to PING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The sender of the PING, as the sender of the PONG sees it.
    pub to: Endpoint,
    /// The hash of the PING.
    pub ping_hash: Hash,
    /// The Unix time in seconds from which on it means nothing.
    pub expiration: u64,
    /// The sequence number of the sender's record, if it has one (EIP-868).
    pub enr_seq: Option<u64>,
}

/// FINDNODE: asks for the nodes nearest to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindNode {
    /// What is searched for.
    pub target: Target,
    /// The Unix time in seconds from which on it is not to be answered.
    pub expiration: u64,
}

/// NEIGHBORS: the answer to FINDNODE, in one or more packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbors {
    /// The nodes; those that cannot be read are left out.
    pub nodes: Vec<Neighbor>,
    /// The Unix time in seconds from which on it means nothing.
    pub expiration: u64,
}

/// ENRREQUEST: asks for the receiver's record (EIP-868).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnrRequest {
    /// The Unix time in seconds from which on it is not to be answered.
    pub expiration: u64,
}

/// ENRRESPONSE: the answer to ENRREQUEST (EIP-868).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrResponse {
    /// The hash of the ENRREQUEST.
    pub request_hash: Hash,
    /// The record as it came, an RLP list. It is not verified: that is as expensive as a
    /// signature, and worth nothing before the hash is known to be that of a request.
    pub record: Bytes,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The address; some nodes do not know their own.
    pub ip: Option<IpAddr>,
    /// The UDP port.
    pub udp: u16,
    /// The TCP port, 0 for none.
    pub tcp: u16,
}

/// A node as NEIGHBORS tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// The address.
    pub ip: IpAddr,
    /// The UDP port.
    pub udp: u16,
    /// The TCP port, 0 for none.
    pub tcp: u16,
    /// The key.
    pub public_key: PublicKey,
}

/// What FINDNODE asks for: 64 bytes like a public key, but of no point on the curve necessarily.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Target([u8; 64]);

impl Packet {
    /// The type.
    pub const fn kind(&self) -> PacketKind {
        match self {
            Self::Ping(_) => PacketKind::Ping,
            Self::Pong(_) => PacketKind::Pong,
            Self::FindNode(_) => PacketKind::FindNode,
            Self::Neighbors(_) => PacketKind::Neighbors,
            Self::EnrRequest(_) => PacketKind::EnrRequest,
            Self::EnrResponse(_) => PacketKind::EnrResponse,
        }
    }

    /// The Unix time in seconds from which on the packet is void. ENRRESPONSE has none: it answers
    /// a request that has.
    pub const fn expiration(&self) -> Option<u64> {
        match self {
            Self::Ping(Ping { expiration, .. })
            | Self::Pong(Pong { expiration, .. })
            | Self::FindNode(FindNode { expiration, .. })
            | Self::Neighbors(Neighbors { expiration, .. })
            | Self::EnrRequest(EnrRequest { expiration }) => Some(*expiration),
            Self::EnrResponse(_) => None,
        }
    }

    /// Whether what it consists of can be written at all.
    pub(super) fn is_encodable(&self) -> bool {
        match self {
            Self::EnrResponse(response) => {
                RlpItem::whole(&response.record).as_ref().is_some_and(is_list)
            }
            _ => true,
        }
    }

    /// Reads the data of a packet; what follows the elements that are known is not looked at.
    pub(super) fn decode(kind: PacketKind, data: &[u8]) -> Option<Self> {
        let (list, _) = RlpItem::split(data)?;
        let mut items = Items(list.list()?);
        Some(match kind {
            PacketKind::Ping => Self::Ping(Ping {
                version: items.next()?.uint()?,
                from: endpoint(items.next()?)?,
                to: endpoint(items.next()?)?,
                expiration: items.next()?.uint()?,
                enr_seq: items.enr_seq(),
            }),
            PacketKind::Pong => Self::Pong(Pong {
                to: endpoint(items.next()?)?,
                ping_hash: hash(items.next()?)?,
                expiration: items.next()?.uint()?,
                enr_seq: items.enr_seq(),
            }),
            PacketKind::FindNode => Self::FindNode(FindNode {
                target: Target(items.next()?.string()?.try_into().ok()?),
                expiration: items.next()?.uint()?,
            }),
            PacketKind::Neighbors => Self::Neighbors(Neighbors {
                nodes: neighbors(items.next()?)?,
                expiration: items.next()?.uint()?,
            }),
            PacketKind::EnrRequest => {
                Self::EnrRequest(EnrRequest { expiration: items.next()?.uint()? })
            }
            PacketKind::EnrResponse => Self::EnrResponse(EnrResponse {
                request_hash: hash(items.next()?)?,
                record: Bytes::copy_from_slice(items.next().filter(is_list)?.raw()),
            }),
        })
    }
}

impl PacketKind {
    /// All types, in the order of their codes.
    pub const ALL: &'static [Self] = &[
        Self::Ping,
        Self::Pong,
        Self::FindNode,
        Self::Neighbors,
        Self::EnrRequest,
        Self::EnrResponse,
    ];

    /// The byte that stands for the type.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ping => 0x01,
            Self::Pong => 0x02,
            Self::FindNode => 0x03,
            Self::Neighbors => 0x04,
            Self::EnrRequest => 0x05,
            Self::EnrResponse => 0x06,
        }
    }

    /// The type that a byte stands for.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for PacketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::FindNode => "FINDNODE",
            Self::Neighbors => "NEIGHBORS",
            Self::EnrRequest => "ENRREQUEST",
            Self::EnrResponse => "ENRRESPONSE",
        })
    }
}

impl Target {
    /// The target of these bytes.
    pub const fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// The id that nodes are compared with: the hash of the bytes.
    pub fn id(&self) -> NodeId {
        NodeId::new(Keccak256::digest(self.0).into())
    }
}

impl From<PublicKey> for Target {
    fn from(key: PublicKey) -> Self {
        Self(*key.as_bytes())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.id())
    }
}

impl Endpoint {
    /// A UDP endpoint with a TCP port beside it, 0 for none.
    pub const fn new(udp: SocketAddr, tcp: u16) -> Self {
        Self { ip: Some(udp.ip()), udp: udp.port(), tcp }
    }

    /// The UDP address, where there is one that can be sent to.
    pub fn udp_addr(&self) -> Option<SocketAddr> {
        let ip = self.ip?.to_canonical();
        (!ip.is_unspecified() && self.udp != 0).then(|| SocketAddr::new(ip, self.udp))
    }
}

impl Neighbor {
    /// The UDP address.
    pub const fn udp_addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.udp)
    }
}

/// Appends the RLP of a packet.
pub(super) fn encode(packet: &Packet, buffer: &mut BytesMut) {
    let mut rlp = RlpStream::new_with_buffer(std::mem::take(buffer));
    rlp.begin_unbounded_list();
    match packet {
        Packet::Ping(ping) => {
            rlp.append(&ping.version);
            append_endpoint(&mut rlp, &ping.from);
            append_endpoint(&mut rlp, &ping.to);
            rlp.append(&ping.expiration);
            append_enr_seq(&mut rlp, ping.enr_seq);
        }
        Packet::Pong(pong) => {
            append_endpoint(&mut rlp, &pong.to);
            rlp.append(&pong.ping_hash.as_slice());
            rlp.append(&pong.expiration);
            append_enr_seq(&mut rlp, pong.enr_seq);
        }
        Packet::FindNode(find_node) => {
            rlp.append(&find_node.target.as_bytes().as_slice());
            rlp.append(&find_node.expiration);
        }
        Packet::Neighbors(neighbors) => {
            rlp.begin_list(neighbors.nodes.len());
            for node in &neighbors.nodes {
                rlp.begin_list(4);
                append_ip(&mut rlp, Some(node.ip));
                rlp.append(&node.udp);
                rlp.append(&node.tcp);
                rlp.append(&node.public_key.as_bytes().as_slice());
            }
            rlp.append(&neighbors.expiration);
        }
        Packet::EnrRequest(request) => {
            rlp.append(&request.expiration);
        }
        Packet::EnrResponse(response) => {
            rlp.append(&response.request_hash.as_slice());
            rlp.append_raw(&response.record, 1);
        }
    }
    rlp.finalize_unbounded_list();
    *buffer = rlp.out();
}

fn append_endpoint(rlp: &mut RlpStream, endpoint: &Endpoint) {
    rlp.begin_list(3);
    append_ip(rlp, endpoint.ip);
    rlp.append(&endpoint.udp);
    rlp.append(&endpoint.tcp);
}

fn append_ip(rlp: &mut RlpStream, ip: Option<IpAddr>) {
    match ip.map(|ip| ip.to_canonical()) {
        Some(IpAddr::V4(ip)) => rlp.append(&ip.octets().as_slice()),
        Some(IpAddr::V6(ip)) => rlp.append(&ip.octets().as_slice()),
        None => rlp.append_empty_data(),
    };
}

fn append_enr_seq(rlp: &mut RlpStream, seq: Option<u64>) {
    if let Some(seq) = seq {
        rlp.append(&seq);
    }
}

/// The items of a list.
struct Items<'a>(&'a [u8]);

impl<'a> Items<'a> {
    fn next(&mut self) -> Option<RlpItem<'a>> {
        let (item, rest) = RlpItem::split(self.0)?;
        self.0 = rest;
        Some(item)
    }

    /// The record's number, if one follows. EIP-8 allows anything in its place, and its vectors
    /// have a list there.
    fn enr_seq(&mut self) -> Option<u64> {
        self.next()?.uint()
    }
}

/// An endpoint; the address of one that does not know its own is empty or unspecified.
fn endpoint(item: RlpItem<'_>) -> Option<Endpoint> {
    let mut items = Items(item.list()?);
    let ip = ip(items.next()?.string()?);
    Some(Endpoint { ip, udp: port(items.next()?)?, tcp: port(items.next()?)? })
}

/// The nodes of NEIGHBORS. One that cannot be read takes nothing from the others.
fn neighbors(item: RlpItem<'_>) -> Option<Vec<Neighbor>> {
    let mut items = Items(item.list()?);
    let mut nodes = Vec::new();
    while let Some(item) = items.next() {
        nodes.extend(neighbor(item));
    }
    items.0.is_empty().then_some(nodes)
}

fn neighbor(item: RlpItem<'_>) -> Option<Neighbor> {
    let mut items = Items(item.list()?);
    let ip = ip(items.next()?.string()?)?;
    let (udp, tcp) = (port(items.next()?)?, port(items.next()?)?);
    let key: &[u8; 64] = items.next()?.string()?.try_into().ok()?;
    Some(Neighbor { ip, udp, tcp, public_key: PublicKey::from_bytes(key).ok()? })
}

/// An address of 4 or 16 bytes; an IPv4-mapped one is the IPv4 address.
fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| IpAddr::from(v6).to_canonical())
}

/// A port. ethereumjs writes two bytes always, so that ports below 256 begin with a zero.
fn port(item: RlpItem<'_>) -> Option<u16> {
    let digits = item.string()?;
    (digits.len() <= 2).then(|| digits.iter().fold(0, |port, &digit| port << 8 | u16::from(digit)))
}

fn is_list(item: &RlpItem<'_>) -> bool {
    item.list().is_some()
}

fn hash(item: RlpItem<'_>) -> Option<Hash> {
    item.string()?.try_into().ok()
}
