//! Each layer swapped for one that has nothing in common with the default, and all of them at
//! once: two whole servers connect, run a subprotocol, exchange messages and stop.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{net::Ipv4Addr, time::Duration};

use devp2p_core::{Message, NodeId, Rng};
use devp2p_peer::{
    Capability, DisconnectReason, Peer, ProtocolError, ProtocolStream, Side, Subprotocol,
};
use devp2p_server::{Builder, Event, Handle, Server};
use futures::{Sink, SinkExt as _, Stream, StreamExt as _, future::try_join};
use tokio::{sync::mpsc, time::timeout};

use self::support::{
    addr,
    foreign::{first_come::FirstCome, noticeboard::Noticeboard, text_mux::TextMux},
    id, ip, key,
    links::{Latency, Links},
    next_event,
    plain::PlainTransport,
};

/// How many messages go each way.
const MESSAGES: u8 = 100;

/// Greets, hears as many greetings, tells so, and stays until the peer goes.
#[derive(Clone, Debug)]
struct Chat(mpsc::Sender<NodeId>);

impl Chat {
    fn name() -> Capability {
        Capability::new("chat", 1)
    }

    async fn talk<S>(&self, peer: NodeId, stream: S) -> Result<(), ProtocolError>
    where
        S: Stream<Item = Message> + Sink<Message>,
    {
        let (mut sink, mut stream) = stream.split();
        let gone = || ProtocolError::Disconnect(DisconnectReason::NetworkError);
        let send = async {
            for n in 0..MESSAGES {
                sink.feed(greeting(n)).await.map_err(|_| gone())?;
            }
            sink.flush().await.map_err(|_| gone())
        };
        let receive = async {
            for n in 0..MESSAGES {
                let received = stream.next().await.ok_or_else(gone)?;
                if received != greeting(n) {
                    return Err(ProtocolError::bad_message(format!("not the greeting {n}")));
                }
            }
            Ok(())
        };
        try_join(send, receive).await?;
        self.0.send(peer).await.map_err(ProtocolError::failed)?;
        while stream.next().await.is_some() {}
        Ok(())
    }
}

/// From one byte to 25 KiB that nothing can compress, 1.2 MiB in all.
fn greeting(n: u8) -> Message {
    let mut payload = vec![0; 1 + usize::from(n) * 256];
    Rng::from_seed([n; 32]).fill(&mut payload);
    Message { id: u64::from(n % 3), payload: payload.into() }
}

impl Subprotocol for Chat {
    fn capability(&self) -> Capability {
        Self::name()
    }

    fn length(&self) -> u64 {
        3
    }

    async fn run(&self, peer: Peer, stream: ProtocolStream) -> Result<(), ProtocolError> {
        self.talk(peer.id(), stream).await
    }
}

/// The two servers: by their numbers, with the default parts, on loopback.
fn servers() -> [(u16, Builder, Chat, mpsc::Receiver<NodeId>); 2] {
    [1, 2].map(|n| {
        let (sender, heard) = mpsc::channel(4);
        let chat = Chat(sender);
        let builder = Server::builder(key(n))
            .name(format!("node {n}"))
            .listen_addr(std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .protocol(chat.clone());
        (n, builder, chat, heard)
    })
}

/// How the two come to know of each other.
enum Acquaintance {
    /// One has the other in its static list.
    Static,
    /// Both read this board.
    Board(Noticeboard),
}

/// Starts both servers with what `swap` changes about them, has them meet and talk, and stops them.
async fn meet(acquaintance: Acquaintance, swap: impl Fn(u16, Builder, Chat) -> Builder) {
    let [mut left, mut right] = {
        let mut started = Vec::new();
        for (n, builder, chat, heard) in servers() {
            let builder = match &acquaintance {
                Acquaintance::Static => builder,
                Acquaintance::Board(board) => builder.discovery(board.reader()),
            };
            let handle = swap(n, builder, chat).start().await.unwrap();
            let events = handle.events();
            if let Acquaintance::Board(board) = &acquaintance {
                board.announce(handle.node_info().enode);
            }
            started.push((handle, events, heard));
        }
        <[_; 2]>::try_from(started).unwrap_or_else(|_| unreachable!("there are two"))
    };
    if let Acquaintance::Static = acquaintance {
        left.0.add_peer(right.0.node_info().enode);
    }

    for ((handle, events, heard), other) in [(&mut left, 2), (&mut right, 1)] {
        let Event::Add(add) = next_event(events).await else { panic!("no add event") };
        assert_eq!((add.id, add.name), (id(other), format!("node {other}")));
        assert_eq!(add.shared, [Chat::name()]);
        let talked = timeout(Duration::from_secs(60), heard.recv()).await;
        assert_eq!(talked.unwrap(), Some(id(other)), "all messages were exchanged");
        let [peer] = <[_; 1]>::try_from(handle.peers()).unwrap();
        assert_eq!(peer.id, id(other));
        assert!(peer.traffic.ingress > 500_000 && peer.traffic.egress > 500_000, "{peer:?}");
    }

    let (left, mut events_left, _) = left;
    let (right, mut events_right, _) = right;
    stop(&left).await;
    for (events, id, side) in
        [(&mut events_left, id(2), Side::Local), (&mut events_right, id(1), Side::Remote)]
    {
        let Event::Drop(drop) = next_event(events).await else { panic!("no drop event") };
        let told = (drop.id, drop.reason, drop.side);
        assert_eq!(told, (id, DisconnectReason::Quitting, side));
    }
    stop(&right).await;
    assert_eq!(events_left.next().await, None);
}

async fn stop(server: &Handle) {
    timeout(Duration::from_secs(2), server.stop()).await.expect("it stops in time");
    assert_eq!((server.peer_count(), server.pending()), (0, 0));
}

fn text_mux(n: u16, chat: Chat) -> TextMux {
    TextMux::new(format!("node {n}"), Chat::name(), move |peer, stream| {
        let chat = chat.clone();
        Box::pin(async move { chat.talk(peer.into(), stream).await })
    })
}

#[cfg(feature = "rlpx")]
#[tokio::test]
async fn nothing() {
    meet(Acquaintance::Static, |_, builder, _| builder).await;
}

#[cfg(feature = "rlpx")]
#[tokio::test]
async fn dialer_and_listener() {
    let links = Links::immediate();
    meet(Acquaintance::Static, |n, builder, _| {
        builder.dialer(links.dialer(ip(n))).listener(links.listen(addr(n)).unwrap())
    })
    .await;
}

#[tokio::test]
async fn transport() {
    meet(Acquaintance::Static, |n, builder, _| builder.transport(PlainTransport::new(key(n))))
        .await;
}

#[cfg(feature = "rlpx")]
#[tokio::test]
async fn multiplexer() {
    meet(Acquaintance::Static, |n, builder, chat| builder.multiplexer(text_mux(n, chat))).await;
}

#[cfg(feature = "rlpx")]
#[tokio::test]
async fn scheduler() {
    meet(Acquaintance::Static, |n, builder, _| builder.scheduler(FirstCome::new(id(n), 8))).await;
}

#[cfg(feature = "rlpx")]
#[tokio::test]
async fn discovery() {
    meet(Acquaintance::Board(Noticeboard::default()), |_, builder, _| builder).await;
}

#[tokio::test(start_paused = true)]
async fn all_at_once() {
    let ms = Duration::from_millis;
    let links = Links::new(Latency { base: ms(5)..=ms(50), jitter: ms(0)..=ms(5) }, 3);
    meet(Acquaintance::Board(Noticeboard::default()), |n, builder, chat| {
        builder
            .dialer(links.dialer(ip(n)))
            .listener(links.listen(addr(n)).unwrap())
            .transport(PlainTransport::new(key(n)))
            .multiplexer(text_mux(n, chat))
            .scheduler(FirstCome::new(id(n), 8))
    })
    .await;
}
