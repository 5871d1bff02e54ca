use std::net::Ipv4Addr;

use devp2p_core::{BoxConnection, Host, Node, NodeId, NodeKey};
use devp2p_peer::{Config, Direction, End, Established, Hello, HelloError, Peer, Protocol, hello};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::{Itest, Session, Sessions};

/// A node of ours without a server, `rlpx` and `peer` alone: it listens on 127.0.0.1 and runs
/// `itest` and `itestb`.
#[derive(Debug)]
pub struct Local {
    key: NodeKey,
    listener: TcpListener,
    protocols: Vec<Protocol>,
    /// The sessions of `itest`.
    pub itest: Sessions,
    /// The sessions of `itestb`.
    pub itestb: Sessions,
}

/// A session of a [`Local`] that runs.
#[derive(Debug)]
pub struct Running {
    /// The peer.
    pub peer: Peer,
    /// How it ends.
    pub end: JoinHandle<End>,
}

impl Local {
    /// A node with this key.
    ///
    /// # Panics
    /// When 127.0.0.1 has no free port.
    pub async fn new(key: NodeKey) -> Self {
        let (first, itest) = Itest::new("itest");
        let (second, itestb) = Itest::new("itestb");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        Self {
            key,
            listener: listener.expect("there is a free port"),
            protocols: vec![Protocol::new(first), Protocol::new(second)],
            itest,
            itestb,
        }
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.key.id()
    }

    /// The node, at its real port.
    ///
    /// # Panics
    /// When the socket has no address.
    pub fn node(&self) -> Node {
        let addr = self.listener.local_addr().expect("a bound socket has an address");
        Node::new(self.key.public_key(), Some(Host::Ip(addr.ip())), addr.port(), 0)
    }

    fn hello(&self) -> Hello {
        let capabilities = self.protocols.iter().map(Protocol::capability).collect();
        Hello::new("devp2p-interop", capabilities, self.key.public_key())
    }

    /// Dials, and exchanges Hellos.
    ///
    /// # Errors
    /// Why that failed.
    ///
    /// # Panics
    /// When the secure handshake fails.
    pub async fn dial(&self, node: &Node) -> Result<Established, HelloError> {
        let addr = node.tcp_addr().expect("a node to dial has an address");
        let stream = TcpStream::connect(addr).await.expect("the peer listens");
        let config = devp2p_rlpx::Config::default();
        let remote = node.public_key();
        let secured = devp2p_rlpx::connect_tcp(stream, &self.key, &remote, &config).await;
        let connection = Box::pin(secured.expect("the secure handshake succeeds"));
        hello(connection, &self.hello(), &Config::default()).await
    }

    /// Accepts a connection, as far as the secure handshake.
    ///
    /// # Panics
    /// When that fails.
    pub async fn accept_secured(&self) -> BoxConnection {
        let (stream, _) = self.listener.accept().await.expect("the listener works");
        let config = devp2p_rlpx::Config::default();
        let secured = devp2p_rlpx::accept_tcp(stream, &self.key, &config).await;
        Box::pin(secured.expect("the secure handshake succeeds"))
    }

    /// Accepts a connection, and exchanges Hellos.
    ///
    /// # Errors
    /// Why that failed.
    ///
    /// # Panics
    /// When the secure handshake fails.
    pub async fn accept(&self) -> Result<Established, HelloError> {
        hello(self.accept_secured().await, &self.hello(), &Config::default()).await
    }

    /// Runs the subprotocols.
    pub fn run(&self, established: Established, direction: Direction) -> Running {
        let (peer, run) = established.run(&self.protocols, direction, None);
        Running { peer, end: tokio::spawn(run) }
    }

    /// Dials, and runs the subprotocols.
    ///
    /// # Panics
    /// When that fails.
    pub async fn dial_and_run(&mut self, node: &Node) -> (Running, Session) {
        let established = self.dial(node).await.expect("the peer takes us");
        let running = self.run(established, Direction::Outbound);
        let session = self.itest.with(node.id()).await;
        (running, session)
    }

    /// Accepts, and runs the subprotocols.
    ///
    /// # Panics
    /// When that fails.
    pub async fn accept_and_run(&mut self) -> (Running, Session) {
        let established = self.accept().await.expect("the peer takes us");
        let running = self.run(established, Direction::Inbound);
        let session = self.itest.with(running.peer.id()).await;
        (running, session)
    }
}
