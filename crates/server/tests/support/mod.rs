//! What the server's tests share: a transport without cryptography, a network with latency,
//! subprotocols, and servers put together from them.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

pub(crate) mod capture;
pub(crate) mod foreign;
pub(crate) mod links;
pub(crate) mod plain;
pub(crate) mod recording;
#[cfg(feature = "socks5")]
pub(crate) mod socks5;
#[cfg(feature = "dnsdisc")]
pub(crate) mod zone;

use std::{
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use devp2p_core::{BoxConnection, Host, Node, NodeId, NodeKey};
use devp2p_peer::{
    Capability, DisconnectReason, Hello, HelloError, Peer, ProtocolError, ProtocolStream,
    Subprotocol,
};
use devp2p_server::{
    Builder, Dialer as _, Event, Events, Handle, Io, Listener as _, Server, Transport as _,
};
use futures::{SinkExt as _, StreamExt as _};

use self::{
    links::{LinkListener, Links},
    plain::PlainTransport,
};

/// Refuses a connection as this crate's peers do, and waits this long for the remote's close.
pub(crate) async fn refuse(connection: BoxConnection, reason: DisconnectReason, linger: Duration) {
    let mut config = devp2p_peer::Config::default();
    config.linger = linger;
    devp2p_peer::refuse(connection, reason, &config).await;
}

/// The port that servers listen on here.
pub(crate) const PORT: u16 = 30303;

/// Our time, which stands still but for the waits of the test where the runtime has paused it.
#[expect(clippy::disallowed_methods, reason = "the clock of a test")]
pub(crate) fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// The `n`th key. Their ids are in no order.
pub(crate) fn key(n: u16) -> NodeKey {
    let mut secret = [1; 32];
    secret[..2].copy_from_slice(&n.to_be_bytes());
    NodeKey::from_bytes(&secret).unwrap()
}

/// The address of the `n`th node: in a private network, so that no limit by address concerns it.
pub(crate) fn ip(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(10, 0, high, low).into()
}

pub(crate) fn addr(n: u16) -> SocketAddr {
    SocketAddr::new(ip(n), PORT)
}

/// The `n`th node, as others dial it.
pub(crate) fn node(n: u16) -> Node {
    node_at(&key(n), addr(n))
}

pub(crate) fn node_at(key: &NodeKey, addr: SocketAddr) -> Node {
    Node::new(key.public_key(), Some(Host::Ip(addr.ip())), addr.port(), 0)
}

pub(crate) fn id(n: u16) -> NodeId {
    key(n).id()
}

/// A subprotocol that takes whatever comes, until the peer is gone.
#[derive(Clone, Debug)]
pub(crate) struct Quiet(pub(crate) &'static str);

impl Subprotocol for Quiet {
    fn capability(&self) -> Capability {
        Capability::new(self.0, 1)
    }

    fn length(&self) -> u64 {
        4
    }

    async fn run(&self, _: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        while stream.next().await.is_some() {}
        Ok(())
    }
}

/// The `n`th server: on the network `links`, without cryptography, with the subprotocol `test/1`,
/// its choices drawn from its number.
pub(crate) fn server(links: &Links, n: u16) -> Builder {
    let mut seed = [0; 32];
    seed[..2].copy_from_slice(&n.to_be_bytes());
    Server::builder(key(n))
        .configure(|config| config.seed = Some(seed))
        .name(format!("node {n}"))
        .dialer(links.dialer(ip(n)))
        .listener(links.listen(addr(n)).unwrap())
        .transport(PlainTransport::new(key(n)))
        .protocol(Quiet("test"))
}

/// A remote that the test moves by hand.
pub(crate) struct Remote {
    pub(crate) connection: BoxConnection,
    pub(crate) hello: Hello,
}

impl Remote {
    /// The `n`th node dials `to`; the secure handshake is done.
    pub(crate) async fn dial(links: &Links, n: u16, to: &Node) -> Self {
        let io = links.dialer(ip(n)).dial(to).await.unwrap();
        let secure = PlainTransport::new(key(n)).connect(io, to.public_key());
        let connection = within_a_minute(secure).await.unwrap();
        Self { connection, hello: hello(n, &["test"]) }
    }

    /// Says another Hello than that of a node with the subprotocol `test/1`.
    pub(crate) fn saying(mut self, hello: Hello) -> Self {
        self.hello = hello;
        self
    }

    /// Exchanges Hellos.
    pub(crate) async fn greet(self) -> Result<devp2p_peer::Established, HelloError> {
        devp2p_peer::hello(self.connection, &self.hello, &devp2p_peer::Config::default()).await
    }

    /// Says a Disconnect in the place of its Hello, and closes.
    pub(crate) async fn refuse(mut self, reason: DisconnectReason) {
        within_a_minute(self.connection.send(reason.message())).await.unwrap();
    }

    /// Exchanges Hellos and waits for the remote to end it: the reason that it gives, and whether
    /// that came before its Hello.
    pub(crate) async fn refusal(self) -> (DisconnectReason, Stage) {
        match self.greet().await {
            Err(HelloError::Disconnected(reason)) => (reason, Stage::BeforeHello),
            Err(error) => panic!("closed without a reason: {error}"),
            Ok(established) => {
                let (_, life) = established.run(&[], devp2p_peer::Direction::Outbound, None);
                (within_a_minute(life).await.reason, Stage::AfterHello)
            }
        }
    }
}

/// A remote that the test moves by hand, with a listener, at the place of node `n`.
pub(crate) struct Listening {
    listener: LinkListener,
    n: u16,
}

impl Listening {
    pub(crate) fn new(links: &Links, n: u16) -> Self {
        Self { listener: links.listen(addr(n)).unwrap(), n }
    }

    pub(crate) async fn accept(&mut self) -> Io {
        let next = poll_fn(|cx| self.listener.poll_accept(cx));
        let accepted = tokio::time::timeout(Duration::from_secs(300), next).await;
        accepted.expect("it was not dialed").unwrap()
    }

    /// The next connection, however long it takes.
    pub(crate) async fn wait(&mut self) -> Io {
        poll_fn(|cx| self.listener.poll_accept(cx)).await.unwrap()
    }

    /// Whether nobody dials it within a minute.
    pub(crate) async fn is_left_alone(&mut self) -> bool {
        let next = poll_fn(|cx| self.listener.poll_accept(cx));
        tokio::time::timeout(Duration::from_secs(60), next).await.is_err()
    }

    pub(crate) async fn secure(&self, io: Io) -> Remote {
        let secure = PlainTransport::new(key(self.n)).accept(io);
        let connection = within_a_minute(secure).await.unwrap();
        Remote { connection, hello: hello(self.n, &["test"]) }
    }
}

/// When a Disconnect came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// In the place of the Hello.
    BeforeHello,
    /// After it.
    AfterHello,
}

/// What the `n`th node says with these capabilities, each of version 1.
pub(crate) fn hello(n: u16, capabilities: &[&str]) -> Hello {
    let capabilities = capabilities.iter().map(|&name| Capability::new(name, 1)).collect();
    Hello::new(format!("node {n}"), capabilities, key(n).public_key())
}

/// What comes of `future`; fails where nothing does. Without it a test would wait for ever, and on
/// a paused clock without using the time.
async fn within_a_minute<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("nothing within a minute")
}

/// The next event; fails where none comes within a minute.
pub(crate) async fn next_event(events: &mut Events) -> Event {
    within_a_minute(events.next()).await.expect("the server stopped")
}

/// Waits until the server has so many peers; fails after a minute.
pub(crate) async fn wait_for_peers(server: &Handle, count: usize) {
    let all = async {
        while server.peer_count() != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(60), all).await.is_err() {
        panic!("{} peers within a minute, wanted {count}", server.peer_count());
    }
}
