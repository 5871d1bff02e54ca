use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use devp2p_core::{Node, NodeId, NodeKey};
use devp2p_server::{Builder, Event, Events, Handle, PeerAdd, PeerDrop, Server};
use tokio::time::timeout;

use crate::{Itest, Sessions, process::PATIENCE};

/// A server of ours on 127.0.0.1, with the subprotocols `itest` and `itestb`.
#[derive(Debug)]
pub struct Ours {
    /// The server.
    pub handle: Handle,
    /// The sessions of `itest`.
    pub itest: Sessions,
    /// The sessions of `itestb`.
    pub itestb: Sessions,
    events: Events,
    /// Events that arrived while another was waited for.
    passed: VecDeque<Event>,
}

impl Ours {
    /// Starts a server with a fresh key and these options.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(options: impl FnOnce(Builder) -> Builder) -> Self {
        let key = NodeKey::generate().expect("there is entropy");
        Self::start_at(key, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), options).await
    }

    /// Starts a server with this key at this address.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_at(
        key: NodeKey,
        address: SocketAddr,
        options: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let (first, itest) = Itest::new("itest");
        let (second, itestb) = Itest::new("itestb");
        let builder = Server::builder(key)
            .name("devp2p-interop")
            .listen_addr(address)
            .protocol(first)
            .protocol(second);
        let handle = options(builder).start().await.expect("the server starts");
        let events = handle.events();
        Self { handle, itest, itestb, events, passed: VecDeque::new() }
    }

    /// The node, at its real port.
    pub fn node(&self) -> Node {
        self.handle.node_info().enode
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.handle.node_info().id
    }

    /// Waits until `id` is a peer.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn added(&mut self, id: NodeId) -> PeerAdd {
        self.added_within(id, PATIENCE).await
    }

    /// [`added`](Self::added) with another deadline.
    ///
    /// # Panics
    /// When that takes longer.
    pub async fn added_within(&mut self, id: NodeId, within: Duration) -> PeerAdd {
        let what = format!("a session with {id:#}");
        self.expect(&what, within, |event| match event {
            Event::Add(add) if add.id == id => Some(add.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until `id` is a peer no longer.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn dropped(&mut self, id: NodeId) -> PeerDrop {
        let what = format!("the end of the session with {id:#}");
        self.expect(&what, PATIENCE, |event| match event {
            Event::Drop(drop) if drop.id == id => Some(drop.clone()),
            _ => None,
        })
        .await
    }

    /// The events so far that no call has taken.
    pub async fn untaken(&mut self) -> &VecDeque<Event> {
        while let Ok(Some(event)) = timeout(Duration::ZERO, self.events.next()).await {
            self.passed.push_back(event);
        }
        &self.passed
    }

    async fn expect<T>(
        &mut self,
        what: &str,
        within: Duration,
        pick: impl Fn(&Event) -> Option<T>,
    ) -> T {
        let found = self.passed.iter().enumerate().find_map(|(at, event)| Some((at, pick(event)?)));
        if let Some((at, picked)) = found {
            self.passed.remove(at);
            return picked;
        }
        let next = async {
            loop {
                let event = self.events.next().await?;
                match pick(&event) {
                    Some(picked) => return Some(picked),
                    None => self.passed.push_back(event),
                }
            }
        };
        match timeout(within, next).await {
            Ok(Some(picked)) => picked,
            Ok(None) => panic!("our server stopped; expected: {what}"),
            Err(_) => panic!(
                "our server did not give within {within:?}: {what}\n{:?}\n{:#?}",
                self.passed,
                self.handle.counters()
            ),
        }
    }
}
