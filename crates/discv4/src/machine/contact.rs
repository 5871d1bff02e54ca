use std::{
    net::{IpAddr, SocketAddr, SocketAddrV6},
    sync::Arc,
};

use devp2p_core::{Host, LanPolicy, Node, NodeId, PublicKey, Record, prefix_group};
use devp2p_kad::Group;

/// A node in the table: who it is, and the UDP endpoint at which we speak to it. A clone shares all
/// of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact(Arc<Known>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    node: Node,
    endpoint: SocketAddr,
    group: Option<Group>,
    /// The sequence number of the newest record that was seen of it.
    seen_seq: u64,
}

impl Contact {
    /// A node at an endpoint. Where its record gives that endpoint, too, `node` has the record.
    pub(crate) fn new(node: Node, endpoint: SocketAddr, lan_policy: LanPolicy) -> Self {
        let group = (!lan_policy.exempts(endpoint.ip())).then(|| group_of(endpoint.ip()));
        let seen_seq = node.record().map_or(0, Record::seq);
        Self(Arc::new(Known { node, endpoint, group, seen_seq }))
    }

    /// A node of which somebody told these.
    pub(crate) fn heard(
        key: PublicKey,
        endpoint: SocketAddr,
        tcp: u16,
        lan_policy: LanPolicy,
    ) -> Self {
        let host = Some(Host::Ip(endpoint.ip()));
        Self::new(Node::new(key, host, tcp, endpoint.port()), endpoint, lan_policy)
    }

    /// The node, with its record if that is known and gives this endpoint.
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// The UDP endpoint.
    pub fn endpoint(&self) -> SocketAddr {
        self.0.endpoint
    }

    pub(crate) fn id(&self) -> NodeId {
        self.0.node.id()
    }

    pub(crate) fn seen_seq(&self) -> u64 {
        self.0.seen_seq
    }

    /// The same, and a record of this number was seen.
    #[must_use]
    pub(crate) fn with_seen_seq(mut self, seq: u64) -> Self {
        if seq > self.0.seen_seq {
            Arc::make_mut(&mut self.0).seen_seq = seq;
        }
        self
    }
}

impl devp2p_kad::Contact for Contact {
    fn group(&self) -> Option<Group> {
        self.0.group
    }

    fn same_endpoint(&self, other: &Self) -> bool {
        self.0.endpoint == other.0.endpoint
    }
}

/// A node that came to us and has proved that it is there.
#[derive(Clone, Debug)]
pub(super) struct Newcomer {
    pub(super) contact: Contact,
    /// The number of its record, if it told it.
    pub(super) enr_seq: Option<u64>,
}

impl devp2p_kad::Contact for Newcomer {
    fn group(&self) -> Option<Group> {
        self.contact.group()
    }

    fn same_endpoint(&self, other: &Self) -> bool {
        self.contact.same_endpoint(&other.contact)
    }
}

/// A number for each prefix. The low bits of all prefixes are zero.
fn group_of(ip: IpAddr) -> Group {
    Group::new(match prefix_group(ip).network().network() {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits() | 1,
    })
}

/// An endpoint as it is compared: an IPv4-mapped address is IPv4. A link-local one keeps its scope.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    match (addr, addr.ip().to_canonical()) {
        (SocketAddr::V6(v6), IpAddr::V6(ip)) => {
            SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id()).into()
        }
        (_, ip) => SocketAddr::new(ip, addr.port()),
    }
}

/// Whether a record gives this endpoint. It cannot tell the scope of a link-local address.
pub(super) fn gives_endpoint(record: &Record, endpoint: SocketAddr) -> bool {
    let place = |at: SocketAddr| (at.ip(), at.port());
    udp_endpoints(record).any(|at| place(at) == place(endpoint))
}

/// The UDP endpoints that a record gives.
pub(super) fn udp_endpoints(record: &Record) -> impl Iterator<Item = SocketAddr> {
    let v4 = record.ip().zip(record.udp()).map(SocketAddr::from);
    let v6 = record.ip6().zip(record.udp6()).map(SocketAddr::from);
    [v4, v6.map(canonical)].into_iter().flatten()
}

pub(super) fn kad_id(id: NodeId) -> devp2p_kad::Id {
    devp2p_kad::Id::new(*id.as_bytes())
}

pub(super) fn node_id(id: devp2p_kad::Id) -> NodeId {
    NodeId::new(*id.as_bytes())
}
