//! The seam that speaks the base protocol on a connection and runs subprotocols over it.

use std::{sync::Arc, time::Duration};

use devp2p_core::{BoxConnection, Traffic};
use devp2p_peer::{
    Capability, CapabilityMeters, Direction, DisconnectReason, End, Hello, HelloError,
};
use futures::future::BoxFuture;

/// Exchanges Hellos on a secure connection, then runs the subprotocols until the end.
///
/// # Contract
/// - After both Hellos the multiplexer has called `established` on the connection. The key in the
///   remote's Hello is that of the connection, or the Hello is an error.
/// - No subprotocol starts before [`Negotiated::run`]'s future is polled, and all of them have
///   ended when that future ends. It ends when the first of them does.
/// - Messages reach a subprotocol in order and without loss. A slow one stops the remote; it does
///   not fill memory.
/// - Every future ends by itself once the connection does, also where a subprotocol does not read
///   (within a minute) or the remote does nothing; dropping one closes the connection, and ends
///   the subprotocols.
/// - The reason of a refusal or a disconnect reaches a remote that reads, after the messages that
///   were flushed before; each side's [`End`] tells the reason and who gave it.
///
/// The suite `contract::multiplexer` (feature `test-util`) checks this.
pub trait Multiplexer: Send + Sync + 'static {
    /// Exchanges Hellos.
    fn hello(
        &self,
        connection: BoxConnection,
        direction: Direction,
    ) -> BoxFuture<'static, Result<Box<dyn Negotiated>, HelloError>>;

    /// Tells the remote why it is refused before its Hello was read, and closes.
    fn refuse(&self, connection: BoxConnection, reason: DisconnectReason)
    -> BoxFuture<'static, ()>;
}

/// A connection on which both Hellos have been read, and nothing runs yet.
pub trait Negotiated: Send {
    /// The remote's Hello.
    fn hello(&self) -> &Hello;

    /// The capabilities that both sides have, one version of each name.
    fn shared(&self) -> Vec<Capability>;

    /// Tells the remote why it is refused, and closes.
    fn refuse(self: Box<Self>, reason: DisconnectReason) -> BoxFuture<'static, ()>;

    /// A handle on the peer, and the future that is its life.
    fn run(self: Box<Self>) -> (Arc<dyn PeerControl>, BoxFuture<'static, End>);
}

/// What the server asks of a running peer.
pub trait PeerControl: Send + Sync {
    /// Ends the peer with this reason; returns at once, and may be called more than once.
    fn disconnect(&self, reason: DisconnectReason);

    /// Ends the peer because the server stops: "client quitting", with little patience for its
    /// answer. Returns at once.
    fn stop(&self) {
        self.disconnect(DisconnectReason::Quitting);
    }

    /// The last round trip of a ping, once there was one.
    fn rtt(&self) -> Option<Duration>;

    /// Bytes moved on the wire so far.
    fn traffic(&self) -> Traffic;

    /// What moved in each shared capability so far, and what waits. Nothing where it is not counted.
    fn meters(&self) -> Vec<CapabilityMeters> {
        Vec::new()
    }
}
