//! What the recorder of a server is told, and that it is what happened.
#![cfg(all(feature = "discv4", feature = "discv5"))]
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "metrics/recorder.rs"]
mod recorder;
#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use devp2p_core::{Message, Node};
use devp2p_dial::RefusalCause;
use devp2p_peer::{
    Capability, Direction, DisconnectReason as Reason, Peer, ProtocolError, ProtocolStream,
    Subprotocol,
};
use devp2p_server::{
    Builder, Dialer as _, Event, Handle, MappedSocket, NodeList, PortEvent, PortMapper, Server,
    SocketRole,
    metrics::{Kind, NAMES},
};
use futures::{SinkExt as _, StreamExt as _};
use tokio::{
    io::AsyncWriteExt as _,
    time::{sleep, timeout},
};

use self::{
    recorder::{Forbidden, Panicking, Recorded},
    support::{
        Listening, Quiet, Remote, hello, id, ip, key, links::Links, node, server, wait_for_peers,
    },
};

/// Longer than it takes until what was counted is published.
const A_TICK: Duration = Duration::from_secs(3);

/// Whoever dialed says this, and the other end listens.
const WORDS: [(u64, usize); 4] = [(0, 100), (1, 10), (1, 20), (3, 0)];

#[derive(Clone, Debug)]
struct Talk;

impl Subprotocol for Talk {
    fn capability(&self) -> Capability {
        Capability::new("talk", 7)
    }

    fn length(&self) -> u64 {
        4
    }

    async fn run(&self, peer: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        if peer.direction() == Direction::Outbound {
            for (id, size) in WORDS {
                stream.send(Message { id, payload: Bytes::from(vec![0; size]) }).await?;
            }
        }
        while stream.next().await.is_some() {}
        Ok(())
    }
}

/// More ids than have a meter of their own.
#[derive(Clone, Debug)]
struct Wide;

impl Subprotocol for Wide {
    fn capability(&self) -> Capability {
        Capability::new("wide", 1)
    }

    fn length(&self) -> u64 {
        1_000_000
    }

    async fn run(&self, _: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        stream.send(Message { id: 999_999, payload: Bytes::from_static(b"far") }).await?;
        while stream.next().await.is_some() {}
        Ok(())
    }
}

async fn start(builder: Builder) -> (Handle, Arc<Recorded>) {
    let recorded = Arc::new(Recorded::default());
    let server = builder.metrics(Arc::<Recorded>::clone(&recorded)).start().await.unwrap();
    (server, recorded)
}

/// A mapper that maps the listener and nothing else.
struct Half(Vec<PortEvent>, bool);

impl PortMapper for Half {
    fn map(&mut self, sockets: &[MappedSocket]) {
        let external = SocketAddr::from(([8, 8, 4, 4], 30303));
        let listener = sockets.iter().find(|socket| socket.role == SocketRole::Listener);
        self.0.extend(listener.map(|&socket| PortEvent::Mapped { socket, external }));
        self.0.push(PortEvent::Address(Some(external.ip())));
    }

    fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Option<PortEvent>> {
        match self.0.pop() {
            Some(event) => Poll::Ready(Some(event)),
            None if self.1 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn stop(&mut self) {
        self.1 = true;
    }
}

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn with_everything(n: u16) -> Builder {
    Server::builder(key(n))
        .listen_addr(ANY_PORT)
        .protocol(Quiet("test"))
        .protocol(Wide)
        .port_mapper(Half(Vec::new(), false))
}

#[tokio::test]
async fn what_is_registered_is_what_is_listed_and_two_servers_share_nothing() {
    let _ = metrics::set_global_recorder(Forbidden);
    let (one, of_one) = start(with_everything(1)).await;
    let bootnode = one.node_info();
    let (two, of_two) = start(with_everything(2).configure(|config| {
        config.bootstrap_nodes = vec![bootnode.enode.clone()];
        config.bootstrap_nodes_v5 = vec![Node::from_record(bootnode.enr.clone())];
    }))
    .await;
    wait_for_peers(&two, 1).await;
    let sum = |recorded: &Recorded, name| recorded.counter(name, &[]);
    let settled = async {
        // The tables have been looked at, and each has heard of the other in both versions.
        let known = |recorded: &Recorded, sessions| {
            let names = recorded.names(Kind::Gauge);
            names.iter().any(|(name, _)| name == "discover_bucket_count")
                && recorded.counter("discover_ingress", &[("version", "v4")]) > 0
                && sum(recorded, sessions) > 0
        };
        while !known(&of_one, "discover_sessions_accepted")
            || !known(&of_two, "discover_sessions_initiated")
            || of_two.counter("discover_answers", &[("version", "v5")]) == 0
        {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), settled).await.unwrap();

    for recorded in [&of_one, &of_two] {
        for kind in [Kind::Counter, Kind::Gauge, Kind::Histogram] {
            let listed = NAMES.iter().filter(|metric| metric.kind == kind);
            let mut listed: BTreeSet<_> = listed
                .map(|metric| {
                    let mut labels: Vec<_> =
                        metric.labels.iter().map(ToString::to_string).collect();
                    labels.sort();
                    (metric.name.to_owned(), labels)
                })
                .collect();
            for name in recorded.names(kind) {
                assert!(listed.remove(&name), "{name:?} is not listed as a {kind:?}");
            }
            assert_eq!(listed, BTreeSet::new(), "listed and not registered");
        }
        let described = recorded.described();
        assert_eq!(described.len(), NAMES.len());
        for metric in NAMES {
            let wanted = (metric.kind, Some(metric.unit), metric.help.to_owned());
            assert_eq!(described[metric.name], wanted, "{}", metric.name);
        }
    }

    // What one sent is not what the other sent.
    let pings =
        |recorded: &Recorded, name| recorded.counter(name, &[("version", "v4"), ("kind", "ping")]);
    assert!(pings(&of_two, "discover_packets_sent") > 0);
    assert!(pings(&of_one, "discover_packets_received") > 0);
    assert!(of_one.counter("discover_ingress", &[("version", "v4")]) > 0);
    one.stop().await;
    two.stop().await;
    // Whoever found the other first dialed it, and that is a dial of one and an inbound peer of the
    // other.
    let [dialed, served] = ["p2p_dials_success", "p2p_serves_success"]
        .map(|name| [&of_one, &of_two].map(|recorded| recorded.counter(name, &[])));
    assert_eq!(dialed, [served[1], served[0]]);
    assert_eq!(dialed.iter().sum::<u64>(), 1);
    let far = [("protocol", "wide"), ("version", "1"), ("code", "other")];
    assert_eq!(of_one.counter("p2p_ingress_messages", &far), 1);
    assert_eq!(of_one.counter("p2p_ingress_message_bytes", &far), 3);
    assert_eq!(of_one.counter("p2p_ingress_messages", &[("protocol", "wide")]), 1, "once");
    for recorded in [&of_one, &of_two] {
        assert!((recorded.gauge("nat_address_known", &[]) - 1.0).abs() < 1e-9);
        assert!((recorded.gauge("nat_mapped", &[("socket", "listener")]) - 1.0).abs() < 1e-9);
        assert!(recorded.gauge("nat_mapped", &[("socket", "discovery")]).abs() < 1e-9);
    }
}

#[tokio::test(start_paused = true)]
async fn messages_traffic_and_handshakes_are_those_that_were() {
    let links = Links::immediate();
    let (one, of_one) = start(server(&links, 1).protocol(Talk)).await;
    let (two, of_two) = start(server(&links, 2).protocol(Talk)).await;
    let mut events = one.events();
    let mut sent = Vec::new();
    for round in 1..=2 {
        one.add_peer(node(2));
        wait_for_peers(&two, 1).await;
        sleep(A_TICK).await;
        for (code, messages, bytes) in [("0x00", 1, 100), ("0x01", 2, 30), ("0x03", 1, 0)] {
            let labels = [("protocol", "talk"), ("version", "7"), ("code", code)];
            for (recorded, direction) in [(&of_one, "egress"), (&of_two, "ingress")] {
                let count = |what: &str| {
                    recorded.counter(&format!("p2p_{direction}_message{what}"), &labels)
                };
                let counted = (count("s"), count("_bytes"));
                assert_eq!(counted, (round * messages, round * bytes), "{direction} {code}");
            }
        }
        // The other way, and of the other subprotocol, there was nothing.
        let all = of_one.counter("p2p_egress_messages", &[]);
        assert_eq!((all, of_one.counter("p2p_ingress_messages", &[])), (4 * round, 0));
        one.remove_peer(id(2)).await;
        while !matches!(events.next().await, Some(Event::Drop(_))) {}
        wait_for_peers(&two, 0).await;
        // A node that was removed is dialed again only after a while.
        sleep(Duration::from_secs(60)).await;
        sent.push(of_one.counter("p2p_egress", &[]));
    }
    // Of a node that comes back the bytes of both times are there.
    assert!(sent[1] > sent[0] * 3 / 2, "{sent:?}");
    one.stop().await;
    two.stop().await;
    for name in ["p2p_ingress", "p2p_egress"] {
        let other = if name == "p2p_ingress" { "p2p_egress" } else { "p2p_ingress" };
        assert!(of_one.counter(name, &[]) > 130);
        assert_eq!(of_one.counter(name, &[]), of_two.counter(other, &[]), "{name}");
    }
    // Who dialed has the other as a static node until it is removed.
    assert_eq!(
        of_two.counter("p2p_set_ingress", &[("set", "inbound")]),
        of_two.counter("p2p_ingress", &[])
    );
    assert!(of_one.counter("p2p_set_egress", &[("set", "static")]) > 130);
    assert_eq!(of_one.counter("p2p_set_egress", &[]), of_one.counter("p2p_egress", &[]));
    for stage in ["secure", "hello"] {
        let took = |recorded: &Recorded, direction| {
            let labels = [("direction", direction), ("stage", stage)];
            recorded.histogram("p2p_handshake_seconds", &labels).len()
        };
        assert_eq!((took(&of_one, "outbound"), took(&of_one, "inbound")), (2, 0));
        assert_eq!((took(&of_two, "outbound"), took(&of_two, "inbound")), (0, 2));
    }
    let requested =
        [("direction", "outbound"), ("side", "local"), ("reason", "disconnect_requested")];
    assert_eq!(of_one.counter("p2p_drops", &requested), 2);
    assert_eq!(of_one.counter("p2p_drops", &[]), 2);
    let by_remote =
        [("direction", "inbound"), ("side", "remote"), ("reason", "disconnect_requested")];
    assert_eq!(of_two.counter("p2p_drops", &by_remote), 2);
}

#[tokio::test(start_paused = true)]
async fn peers_and_their_round_trips() {
    let links = Links::immediate();
    let (server, recorded) = start(server(&links, 1)).await;
    let mut peers = Vec::new();
    for n in [2, 3] {
        let peer = Remote::dial(&links, n, &node(1)).await.greet().await.unwrap();
        let (peer, life) = peer.run(&[], Direction::Outbound, None);
        peers.push((peer, tokio::spawn(life)));
    }
    wait_for_peers(&server, 2).await;
    server.add_trusted_peer(id(3));
    sleep(A_TICK).await;
    let shown = |name, labels: &[_]| recorded.gauge(name, labels);
    let near = |value: f64, wanted: f64| assert!((value - wanted).abs() < 1e-9, "{value}");
    near(shown("p2p_peers", &[]), 2.0);
    near(shown("p2p_peers_inbound", &[]), 2.0);
    near(shown("p2p_peers_outbound", &[]), 0.0);
    near(shown("p2p_set_peers", &[("set", "trusted")]), 1.0);
    near(shown("p2p_set_peers", &[("set", "inbound")]), 1.0);
    near(shown("p2p_pending", &[]), 1.0);
    assert_eq!(recorded.histogram("p2p_rtt_seconds", &[]), []);
    assert_eq!(recorded.counter("p2p_serves_success_1min", &[]), 0);
    // The first ping after 15 s at most; on this network an answer takes no time.
    sleep(Duration::from_secs(20)).await;
    assert_eq!(recorded.histogram("p2p_rtt_seconds", &[]), [0.0, 0.0]);
    peers.pop().unwrap().0.disconnect(Reason::TooManyPeers);
    sleep(Duration::from_secs(60)).await;
    near(shown("p2p_peers", &[]), 1.0);
    assert_eq!(recorded.counter("p2p_serves_success_1min", &[]), 1, "while it is there");
    let too_many = [("direction", "inbound"), ("side", "remote"), ("reason", "too_many_peers")];
    assert_eq!(recorded.counter("p2p_drops", &too_many), 1);
    server.stop().await;
    assert_eq!(recorded.counter("p2p_serves_success_1min", &[]), 1, "and when it is gone");
    near(shown("p2p_peers", &[]), 0.0);
    let quitting = [("direction", "inbound"), ("side", "local"), ("reason", "client_quitting")];
    assert_eq!(recorded.counter("p2p_drops", &quitting), 1);
}

#[tokio::test(start_paused = true)]
async fn dials_and_how_they_ended() {
    let links = Links::immediate();
    let (server, recorded) = start(server(&links, 1)).await;
    // Nobody is at 9. The others are there and do each something else.
    server.add_peer(node(9));
    let mut remotes: Vec<_> = (2..=5).map(|n| Listening::new(&links, n)).collect();
    (2..=5).for_each(|n| server.add_peer(node(n)));
    let mut ios = Vec::new();
    for remote in &mut remotes {
        ios.push(remote.accept().await);
    }
    let [two, three, four, five] = <[_; 4]>::try_from(ios).unwrap_or_else(|_| panic!("four"));
    remotes[0].secure(two).await.refuse(Reason::TooManyPeers).await;
    let other = remotes[1].secure(three).await.saying(hello(3, &["other"]));
    assert_eq!(other.refusal().await.0, Reason::UselessPeer);
    drop(four);
    drop(remotes[3].secure(five).await);
    sleep(A_TICK).await;
    let wanted = [
        ("p2p_dials", 5),
        ("p2p_dials_error_connection", 1),
        ("p2p_dials_error_rlpx_enc", 1),
        ("p2p_dials_error_rlpx_proto", 1),
        ("p2p_dials_error_saturated", 1),
        ("p2p_dials_error_useless", 1),
    ];
    let wanted: Vec<_> = wanted.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    assert_eq!(recorded.counted("p2p_dials").into_iter().collect::<Vec<_>>(), wanted);
    assert_eq!(recorded.counted("p2p_serves").len(), 0);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn connections_that_were_accepted_and_how_they_ended() {
    let links = Links::immediate();
    // One place is for those that we dial.
    let builder = server(&links, 1).max_peers(2).configure(|config| {
        config.net_restrict = Some("10.0.0.0/24".parse().unwrap());
    });
    let (server, recorded) = start(builder).await;
    let _peer = Remote::dial(&links, 2, &node(1)).await.greet().await.unwrap();
    wait_for_peers(&server, 1).await;
    // One too many, one that stays silent, nonsense, and one from elsewhere.
    assert_eq!(Remote::dial(&links, 3, &node(1)).await.refusal().await.0, Reason::TooManyPeers);
    let _silent = links.dialer(ip(4)).dial(&node(1)).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    let mut io = links.dialer(ip(5)).dial(&node(1)).await.unwrap();
    io.write_all(&[0xff; 64]).await.unwrap();
    drop(links.dialer(ip(0x0101)).dial(&node(1)).await.unwrap());
    sleep(A_TICK).await;
    let wanted = [
        ("p2p_serves", 4),
        ("p2p_serves_error_other", 1),
        ("p2p_serves_error_rlpx_enc", 1),
        ("p2p_serves_error_saturated", 1),
        ("p2p_serves_success", 1),
        ("p2p_serves_throttled", 1),
    ];
    let wanted: Vec<_> = wanted.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    assert_eq!(recorded.counted("p2p_serves").into_iter().collect::<Vec<_>>(), wanted);
    let cause = [("cause", "not_in_the_netrestrict_list")];
    assert_eq!(recorded.counter("p2p_serves_throttled", &cause), 1);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn candidates_that_were_refused_and_why() {
    let links = Links::immediate();
    // Nobody is where the first one should be, and the other is the node itself.
    let builder = server(&links, 1).discovery(NodeList::new([node(2), node(1)]));
    let (server, recorded) = start(builder).await;
    sleep(Duration::from_secs(20)).await;
    server.stop().await;
    let refused = |cause| recorded.counter("p2p_candidates_refused", &[("cause", cause)]);
    let causes = ["is_self", "recently_dialed", "backing_off", "was_of_no_use"].map(refused);
    let status = server.dial_status();
    let counted = |cause| status.refusals.get(&cause).copied().unwrap_or_default();
    let wanted = [
        RefusalCause::SelfDial,
        RefusalCause::RecentlyDialed,
        RefusalCause::BackingOff,
        RefusalCause::Useless,
    ];
    assert_eq!(causes, wanted.map(counted));
    let [itself, recent, backing_off, useless] = causes;
    // One round a second, of which the first dialed.
    assert!((18..=21).contains(&itself), "{itself}");
    assert_eq!((recent + backing_off + 1, useless), (itself, 0));
}

/// What a peer says of itself is in no label.
#[tokio::test(start_paused = true)]
async fn no_label_is_chosen_by_a_remote() {
    let links = Links::immediate();
    let (server, recorded) = start(server(&links, 1)).await;
    let mut said = hello(2, &["test", "evil"]);
    said.name = "evil".to_owned();
    let remote = Remote::dial(&links, 2, &node(1)).await.saying(said);
    let evil = remote.greet().await.unwrap();
    wait_for_peers(&server, 1).await;
    evil.disconnect(Reason::from_code(0x77), Duration::from_secs(1)).await;
    wait_for_peers(&server, 0).await;
    server.stop().await;
    assert_eq!(recorded.counter("p2p_drops", &[("reason", "other")]), 1);
    assert!(!recorded.values().iter().any(|value| value.contains("evil") || value.contains("77")));
}

/// A recorder is the user's: what it does is no peer's end, nor the server's.
#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_harms_nobody() {
    let links = Links::immediate();
    let server = server(&links, 1).metrics(Arc::new(Panicking)).start().await.unwrap();
    for n in [2, 3] {
        let peer = Remote::dial(&links, n, &node(1)).await.greet().await.unwrap();
        wait_for_peers(&server, 1).await;
        sleep(A_TICK).await;
        peer.disconnect(Reason::Requested, Duration::from_secs(1)).await;
        wait_for_peers(&server, 0).await;
    }
    assert_eq!((server.counters().added, server.counters().dropped), (2, 2));
    timeout(Duration::from_secs(5), server.stop()).await.unwrap();
}
