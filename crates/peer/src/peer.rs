use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use devp2p_core::{NodeId, PublicKey, Traffic};

use crate::{
    Capability, CapabilityMeters, DisconnectReason, End, Hello, SharedCapability, link::Link,
};

/// Who dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The remote dialed.
    Inbound,
    /// We dialed.
    Outbound,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        })
    }
}

/// A handle on a running peer. Cheap to clone; it outlives the peer, and says so.
#[derive(Clone)]
pub struct Peer(pub(crate) Arc<Link>);

impl Peer {
    /// The node id.
    pub fn id(&self) -> NodeId {
        self.0.id
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        self.0.facts.hello.public_key
    }

    /// What the remote calls itself, without control characters and at most 256 bytes.
    pub fn name(&self) -> &str {
        &self.0.facts.hello.name
    }

    /// The remote's Hello.
    pub fn hello(&self) -> &Hello {
        &self.0.facts.hello
    }

    /// What the remote speaks.
    pub fn capabilities(&self) -> &[Capability] {
        &self.0.facts.hello.capabilities
    }

    /// What both speak.
    pub fn shared(&self) -> &[SharedCapability] {
        &self.0.shared
    }

    /// Who dialed.
    pub fn direction(&self) -> Direction {
        self.0.facts.direction
    }

    /// Our address, where the connection has one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.facts.local_addr
    }

    /// The remote's address, where the connection has one.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.0.facts.remote_addr
    }

    /// The last round trip of a Ping, once there was one.
    pub fn rtt(&self) -> Option<Duration> {
        self.0.lock().session.rtt()
    }

    /// Bytes moved on the wire so far.
    pub fn traffic(&self) -> Traffic {
        self.0.lock().traffic
    }

    /// What moved in each shared capability so far, by message id, and what waits.
    pub fn meters(&self) -> Vec<CapabilityMeters> {
        self.0.lock().session.meters()
    }

    /// Ends the peer with this reason, which the remote is told. Returns at once; of several calls
    /// the first decides.
    pub fn disconnect(&self, reason: DisconnectReason) {
        self.0.disconnect(reason, None);
    }

    /// Ends the peer because this node stops: as [`disconnect`](Self::disconnect) with the reason
    /// [`Quitting`](DisconnectReason::Quitting), except that writing it, and waiting for the remote
    /// to close, take no longer than [`Config::stop_linger`](crate::Config::stop_linger) each.
    ///
    /// It does not hurry a peer that has ended already.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Whether the peer has ended or is about to.
    pub fn is_closed(&self) -> bool {
        self.end().is_some()
    }

    /// How the peer ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.0.lock().session.end().cloned()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.0.id)
            .field("name", &self.0.facts.hello.name)
            .field("remote_addr", &self.0.facts.remote_addr)
            .finish_non_exhaustive()
    }
}
