//! Connections that are being set up, and the slots that they hold.

use std::{collections::BTreeMap, net::IpAddr};

use devp2p_core::{Node, NodeId, PublicKey};
use devp2p_dial::{DialId, DialKind, Outcome};
use devp2p_peer::{Direction, DisconnectReason};

/// A connection that is being set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetupId(u64);

impl std::fmt::Display for SetupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How the set-up of a connection ended, where it did not end in a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SetupFailure {
    /// The node is banned, and was not dialed.
    Banned,
    /// No stream to the node could be opened.
    Connect,
    /// The secure handshake failed.
    SecureHandshake,
    /// The exchange of Hellos failed.
    Hello,
    /// A checkpoint refused the connection.
    Refused,
    /// The remote refused us with this Disconnect.
    RefusedByRemote(DisconnectReason),
    /// The deadline of the whole set-up came.
    Deadline,
    /// The server stopped.
    Stopped,
}

impl std::fmt::Display for SetupFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Banned => "banned",
            Self::Connect => "no connection",
            Self::SecureHandshake => "the secure handshake failed",
            Self::Hello => "the exchange of Hellos failed",
            Self::Refused => "refused by us",
            Self::RefusedByRemote(reason) => return write!(f, "refused by the remote: {reason}"),
            Self::Deadline => "the set-up took too long",
            Self::Stopped => "server stopped",
        })
    }
}

#[derive(Debug)]
pub(super) struct Setup {
    pub(super) direction: Direction,
    pub(super) dial: Option<Dial>,
    pub(super) expected: Option<NodeId>,
    pub(super) remote: Option<PublicKey>,
    /// Where the remote is, as far as that is known.
    pub(super) remote_ip: Option<IpAddr>,
    /// A checkpoint refused it, for this reason.
    pub(super) refused: Option<DisconnectReason>,
    /// The dial scheduler knows of it as a pending inbound connection.
    pub(super) announced: bool,
    /// The node was removed while we were dialing it.
    pub(super) unwanted: bool,
}

/// What the dial scheduler had wanted.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) id: DialId,
    pub(super) kind: DialKind,
    pub(super) node: Node,
}

impl Setup {
    /// A stream that is accepted, or handed in.
    pub(super) const fn new(direction: Direction, expected: Option<NodeId>) -> Self {
        Self {
            direction,
            dial: None,
            expected,
            remote: None,
            remote_ip: None,
            refused: None,
            announced: false,
            unwanted: false,
        }
    }

    /// A dial of the scheduler.
    pub(super) fn dial(dial: Dial) -> Self {
        let (expected, remote_ip) = (Some(dial.node.id()), dial.node.ip());
        Self { dial: Some(dial), remote_ip, ..Self::new(Direction::Outbound, expected) }
    }

    /// What the dial scheduler hears of its end.
    pub(super) fn outcome(&self, failure: SetupFailure) -> Outcome {
        let told = match failure {
            SetupFailure::RefusedByRemote(reason) => Some(reason),
            _ => None,
        };
        match (self.refused.or(told), failure) {
            (Some(DisconnectReason::AlreadyConnected), _) => Outcome::Collided,
            (Some(DisconnectReason::UselessPeer), _) => Outcome::Useless,
            (Some(_), _) | (None, SetupFailure::Banned) => Outcome::Refused,
            (None, SetupFailure::Connect) => Outcome::ConnectFailed,
            (None, _) => Outcome::HandshakeFailed,
        }
    }

    /// Dials of the scheduler are counted there.
    const fn takes_slot(&self) -> bool {
        self.dial.is_none()
    }
}

/// All connections that are being set up. Their number is bounded: dials by the scheduler's limit,
/// accepted streams and those that were handed in by the slots of their direction, so that
/// strangers cannot take the places of streams that we opened.
#[derive(Debug)]
pub(super) struct Setups {
    setups: BTreeMap<SetupId, Setup>,
    next: u64,
    /// In each direction.
    max_slots: usize,
}

impl Setups {
    pub(super) const fn new(max_slots: usize) -> Self {
        Self { setups: BTreeMap::new(), next: 0, max_slots }
    }

    pub(super) fn insert(&mut self, setup: Setup) -> Option<SetupId> {
        if setup.takes_slot() && !self.has_free_slot(setup.direction) {
            return None;
        }
        let id = SetupId(self.next);
        self.next = self.next.wrapping_add(1);
        self.setups.insert(id, setup);
        Some(id)
    }

    pub(super) fn remove(&mut self, id: SetupId) -> Option<Setup> {
        self.setups.remove(&id)
    }

    pub(super) fn has_free_slot(&self, direction: Direction) -> bool {
        let taken = self.setups.values().filter(|it| it.takes_slot() && it.direction == direction);
        taken.count() < self.max_slots
    }

    pub(super) fn get(&self, id: SetupId) -> Option<&Setup> {
        self.setups.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SetupId) -> Option<&mut Setup> {
        self.setups.get_mut(&id)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Setup> {
        self.setups.values_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.setups.len()
    }

    /// Whether another connection with the same remote, past the secure handshake too, goes
    /// before this one. Both ends see the same pair and come to the same choice.
    pub(super) fn rival(&self, local: NodeId, id: SetupId, remote: PublicKey) -> Option<Rival> {
        let setup = self.setups.get(&id)?;
        let dialed_by_smaller =
            |direction| (direction == Direction::Outbound) == (local < NodeId::from(remote));
        let others = self.setups.iter().filter(|&(&other_id, other)| {
            other_id != id && other.remote == Some(remote) && other.refused.is_none()
        });
        others
            .filter_map(|(&other_id, other)| {
                if other.direction == setup.direction {
                    (other_id < id).then_some(Rival::Earlier)
                } else {
                    dialed_by_smaller(other.direction).then_some(Rival::Preferred)
                }
            })
            .min()
    }
}

/// A connection that goes before another one with the same remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rival {
    /// The same side dialed it earlier.
    Earlier,
    /// The node with the smaller id dialed it.
    Preferred,
}
