//! The default [`Multiplexer`]: the devp2p base protocol.

use std::{sync::Arc, time::Duration};

use devp2p_core::{BoxConnection, NodeId, Traffic};
use devp2p_peer::{
    Capability, CapabilityMeters, Config, Direction, DisconnectReason, End, Established, Hello,
    HelloError, MessageEvent, Observer, Peer, Protocol,
};
use futures::future::BoxFuture;

use crate::{Multiplexer, Negotiated, PeerControl};

/// What is called for every message of a subprotocol.
pub type MessageHook = Arc<dyn Fn(NodeId, &MessageEvent<'_>) + Send + Sync>;

/// Speaks the base protocol of devp2p, and runs subprotocols with the `peer` crate.
#[derive(Clone)]
pub struct BaseProtocol(Arc<Inner>);

struct Inner {
    hello: Hello,
    protocols: Vec<Protocol>,
    config: Config,
    on_message: Option<MessageHook>,
}

impl BaseProtocol {
    /// A multiplexer that says `hello` and runs `protocols`; `on_message` hears of every message.
    pub fn new(
        hello: Hello,
        protocols: Vec<Protocol>,
        config: Config,
        on_message: Option<MessageHook>,
    ) -> Self {
        Self(Arc::new(Inner { hello, protocols, config, on_message }))
    }
}

impl std::fmt::Debug for BaseProtocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BaseProtocol").field("hello", &self.0.hello).finish_non_exhaustive()
    }
}

impl Multiplexer for BaseProtocol {
    fn hello(
        &self,
        connection: BoxConnection,
        direction: Direction,
    ) -> BoxFuture<'static, Result<Box<dyn Negotiated>, HelloError>> {
        let this = Arc::clone(&self.0);
        Box::pin(async move {
            let established = devp2p_peer::hello(connection, &this.hello, &this.config).await?;
            Ok(Box::new(Ready { established, direction, inner: this }) as Box<dyn Negotiated>)
        })
    }

    fn refuse(
        &self,
        connection: BoxConnection,
        reason: DisconnectReason,
    ) -> BoxFuture<'static, ()> {
        let this = Arc::clone(&self.0);
        Box::pin(async move { devp2p_peer::refuse(connection, reason, &this.config).await })
    }
}

struct Ready {
    established: Established,
    direction: Direction,
    inner: Arc<Inner>,
}

impl Negotiated for Ready {
    fn hello(&self) -> &Hello {
        self.established.hello()
    }

    fn shared(&self) -> Vec<Capability> {
        let shared = self.established.shared(&self.inner.protocols);
        shared.into_iter().map(|shared| shared.capability).collect()
    }

    fn refuse(self: Box<Self>, reason: DisconnectReason) -> BoxFuture<'static, ()> {
        let linger = self.inner.config.linger;
        Box::pin(async move { self.established.disconnect(reason, linger).await })
    }

    fn run(self: Box<Self>) -> (Arc<dyn PeerControl>, BoxFuture<'static, End>) {
        let id = NodeId::from(self.established.hello().public_key);
        let observer = self.inner.on_message.clone().map(|hook| {
            let observer: Arc<dyn Observer> = Arc::new(PeerObserver { id, hook });
            observer
        });
        let (peer, life) = self.established.run(&self.inner.protocols, self.direction, observer);
        (Arc::new(peer), life)
    }
}

/// Adds to a message whose it was.
struct PeerObserver {
    id: NodeId,
    hook: MessageHook,
}

impl Observer for PeerObserver {
    fn message(&self, event: &MessageEvent<'_>) {
        (self.hook)(self.id, event);
    }
}

impl PeerControl for Peer {
    fn disconnect(&self, reason: DisconnectReason) {
        Self::disconnect(self, reason);
    }

    fn stop(&self) {
        Self::stop(self);
    }

    fn rtt(&self) -> Option<Duration> {
        Self::rtt(self)
    }

    fn traffic(&self) -> Traffic {
        Self::traffic(self)
    }

    fn meters(&self) -> Vec<CapabilityMeters> {
        Self::meters(self)
    }
}
