//! Our server with go-ethereum's `p2p.Server`.

use std::time::Duration;

use data_encoding::HEXLOWER;
use devp2p_core::NodeKey;
use devp2p_interop::{Event, Foreign, Geth, Ours, Session};
use devp2p_peer::{Direction, DisconnectReason, ProtocolError, Side, id};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// geth dials a static node again 35 s after the last attempt, and looks for free slots every
/// few seconds at most.
const GETH_REDIAL: Duration = Duration::from_secs(45);

/// We do after 35 s at first.
const OUR_REDIAL: Duration = Duration::from_secs(60);

/// Long enough for a second connection to show up, and for the end of the first.
const A_WHILE: Duration = Duration::from_secs(5);

/// How many messages, and how large.
const BATCHES: [(u64, (usize, usize)); 4] =
    [(1_000, (1, KIB)), (100, (100 * KIB, 100 * KIB)), (20, (MIB, MIB)), (4, (15 * MIB, 15 * MIB))];

fn hex(key: &NodeKey) -> String {
    HEXLOWER.encode(&*key.to_bytes())
}

#[tokio::test]
async fn we_dial_geth_and_exchange_messages() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut geth = geth.server(&["-name", "geth under test"]).await;
    let node = geth.node().clone();
    let mut ours = Ours::start(|server| server.static_node(node)).await;

    let add = ours.added(geth.id()).await;
    assert_eq!((add.name.as_str(), add.direction), ("geth under test", Direction::Outbound));
    let shared: Vec<_> = add.shared.iter().map(ToString::to_string).collect();
    assert_eq!(shared, ["itest/1", "itestb/1"]);
    let Event::PeerAdd { name, caps, inbound, .. } = geth.added(ours.id()).await else {
        unreachable!("this is what added gives")
    };
    assert_eq!((name.as_str(), inbound), ("devp2p-interop", Some(true)));
    assert_eq!(caps, ["itest/1", "itestb/1"]);

    let mut itest = ours.itest.with(geth.id()).await;
    let mut itestb = ours.itestb.with(geth.id()).await;
    for (count, sizes) in BATCHES {
        // Both subprotocols in both directions at once.
        let mut sessions = [("itest", &mut itest), ("itestb", &mut itestb)];
        batches_both_ways(&ours, &mut geth, &mut sessions, count, sizes).await;
    }

    let info = ours.handle.peer(geth.id()).unwrap();
    assert!(info.is_static && !info.is_trusted);
    assert!(info.traffic.ingress > 60 * MIB as u64 && info.traffic.egress > 60 * MIB as u64);

    // Removed, geth is told so, and it is not dialed again.
    ours.handle.remove_peer(geth.id()).await;
    let dropped = geth.dropped(ours.id()).await;
    assert_eq!((dropped.reason, dropped.by_remote), (Some(0), true));
    assert_eq!(ours.handle.peer_count(), 0);
}

async fn batches_both_ways(
    ours: &Ours,
    geth: &mut Foreign,
    sessions: &mut [(&str, &mut Session)],
    count: u64,
    sizes: (usize, usize),
) {
    for (proto, _) in &*sessions {
        geth.begin_batch(ours.id(), proto, count, sizes).await;
    }
    let begun = sessions.iter_mut().map(|(_, session)| session.begin_batch(count, sizes));
    let begun = join_all(begun).await;
    for ((proto, session), batch) in sessions.iter_mut().zip(begun) {
        assert_eq!(batch.count, count);
        session.acked(&batch).await;
        assert_eq!(geth.received(proto).await.sha256, batch.sha256);
        assert_eq!(geth.sent(proto).await.sha256, session.received().await.sha256);
    }
}

#[tokio::test]
async fn geth_dials_us_and_exchanges_messages() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut geth = geth.server(&[]).await;
    let mut ours = Ours::start(|server| server).await;
    geth.dial(&ours.node()).await;

    let add = ours.added(geth.id()).await;
    assert_eq!(add.direction, Direction::Inbound);
    let mut session = ours.itest.with(geth.id()).await;
    geth.added(ours.id()).await;
    for (count, sizes) in BATCHES {
        let mut sessions = [("itest", &mut session)];
        batches_both_ways(&ours, &mut geth, &mut sessions, count, sizes).await;
    }

    geth.remove_peer(&ours.node()).await;
    let drop = ours.dropped(geth.id()).await;
    assert_eq!((drop.reason, drop.side), (DisconnectReason::Requested, Side::Remote));
}

#[tokio::test]
async fn the_end_of_a_subprotocol_and_of_a_server_has_its_reason_on_either_side() {
    let Some(program) = devp2p_interop::geth() else { return };
    let failed = || ProtocolError::failed(std::io::Error::other("told to fail"));
    for (result, code) in [
        (Ok(()), 0x08),
        (Err(ProtocolError::bad_message("told to find one")), 0x02),
        (Err(failed()), 0x10),
        (Err(ProtocolError::Disconnect(DisconnectReason::UselessPeer)), 0x03),
    ] {
        let (mut ours, mut geth) = pair(program).await;
        ours.itest.with(geth.id()).await.end(result);
        let drop = ours.dropped(geth.id()).await;
        assert_eq!((drop.reason.code(), drop.side), (code, Side::Local));
        let dropped = geth.dropped(ours.id()).await;
        assert_eq!((dropped.reason, dropped.by_remote), (Some(code), true));
    }
    for (how, code) in [("ok", 0x08), ("bad message", 0x02), ("error", 0x10)] {
        let (mut ours, mut geth) = pair(program).await;
        ours.itest.with(geth.id()).await.echo(1).await;
        geth.end_subprotocol(ours.id(), how).await;
        let drop = ours.dropped(geth.id()).await;
        assert_eq!((drop.reason.code(), drop.side), (code, Side::Remote), "{how}");
    }

    let (ours, mut geth) = pair(program).await;
    ours.handle.stop().await;
    let dropped = geth.dropped(ours.id()).await;
    assert_eq!((dropped.reason, dropped.by_remote), (Some(0x08), true));

    let (mut ours, geth) = pair(program).await;
    let id = geth.id();
    geth.stop().await;
    let drop = ours.dropped(id).await;
    assert_eq!((drop.reason, drop.side), (DisconnectReason::Quitting, Side::Remote));
}

/// A server of ours and a geth, which it dialed.
async fn pair(program: &Geth) -> (Ours, Foreign) {
    let mut geth = program.server(&[]).await;
    let node = geth.node().clone();
    let mut ours = Ours::start(|server| server.static_node(node)).await;
    ours.added(geth.id()).await;
    geth.added(ours.id()).await;
    (ours, geth)
}

#[tokio::test]
async fn limits_are_kept_and_understood_on_either_side() {
    let Some(program) = devp2p_interop::geth() else { return };

    // The only slot of ours is for a peer that it dials itself.
    let mut full = Ours::start(|server| server.max_peers(1)).await;
    let mut geth = program.server(&[]).await;
    geth.dial(&full.node()).await;
    geth.refused(full.id(), DisconnectReason::TooManyPeers.code()).await;
    assert_eq!(full.handle.peer_count(), 0);
    // A trusted one is let in all the same.
    let mut trusted = program.server(&[]).await;
    full.handle.add_trusted_peer(trusted.id());
    trusted.dial(&full.node()).await;
    full.added(trusted.id()).await;
    full.itest.with(trusted.id()).await.echo(1).await;

    // And the other way round.
    let mut full = program.server(&["-maxpeers", "1"]).await;
    let node = full.node().clone();
    let ours = Ours::start(|server| server.static_node(node.clone())).await;
    full.refused(ours.id(), DisconnectReason::TooManyPeers.code()).await;
    assert_eq!(ours.handle.peer_count(), 0);
    let mut trusted = Ours::start(|server| server).await;
    full.trust(&trusted.node()).await;
    trusted.handle.add_peer(node);
    trusted.added(full.id()).await;
    trusted.itest.with(full.id()).await.echo(1).await;
}

#[tokio::test]
async fn useless_peers_doubles_and_ourselves_are_refused() {
    let Some(program) = devp2p_interop::geth() else { return };
    let key = NodeKey::generate().unwrap();
    let mut twin = program.raw(&["-key", &hex(&key)]).await;
    let address = "127.0.0.1:0".parse().unwrap();
    let mut ours = Ours::start_at(key, address, |server| server).await;

    // Ourselves, known before Hello.
    let conn = twin.dial(&ours.node()).await;
    assert_eq!(twin.read_message(conn, id::DISCONNECT).await, (vec![0xc1, 0x0a], false));

    // No common subprotocol: known after it.
    let mut raw = program.raw(&[]).await;
    let conn = raw.dial(&ours.node()).await;
    raw.hello(conn, 5, &[("other", 1), ("itest", 2)]).await;
    assert_eq!(raw.read_message(conn, id::DISCONNECT).await, (vec![0xc1, 0x03], true));
    raw.close(conn).await;

    // A second connection with the same key; the first goes on.
    let first = raw.dial(&ours.node()).await;
    raw.hello(first, 5, &[("itest", 1)]).await;
    ours.added(raw.id()).await;
    let second = raw.dial(&ours.node()).await;
    assert_eq!(raw.read_message(second, id::DISCONNECT).await, (vec![0xc1, 0x05], false));
    raw.close(second).await;
    raw.write_snappy(first, id::PING, &[0xc0]).await;
    raw.read(first, id::PONG).await;

    // geth and we find the same of each other.
    let mut other = program.server(&["-protocols", "other"]).await;
    other.dial(&ours.node()).await;
    other.refused(ours.id(), DisconnectReason::UselessPeer.code()).await;
    assert_eq!(ours.handle.peer_count(), 1);
}

#[tokio::test]
async fn whoever_restarts_is_dialed_again() {
    let Some(program) = devp2p_interop::geth() else { return };

    let geth_restarts = async {
        let key = hex(&NodeKey::generate().unwrap());
        let geth = program.server(&["-key", &key]).await;
        let (id, address) = (geth.id(), geth.node().tcp_addr().unwrap().to_string());
        let node = geth.node().clone();
        let mut ours = Ours::start(|server| server.static_node(node)).await;
        ours.added(id).await;
        // Without a goodbye: the connection breaks off.
        geth.kill().await;
        assert_eq!(ours.dropped(id).await.side, Side::Remote);
        let _geth = program.server(&["-key", &key, "-listen", &address]).await;
        ours.added_within(id, OUR_REDIAL).await;
        ours.itest.with(id).await.echo(1).await;
    };
    let we_restart = async {
        let key = NodeKey::generate().unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let mut ours = Ours::start_at(key.clone(), address, |server| server).await;
        let (node, id) = (ours.node(), ours.id());
        let mut geth = program.server(&[]).await;
        geth.dial(&node).await;
        ours.added(geth.id()).await;
        ours.handle.stop().await;
        geth.dropped(id).await;
        let address = node.tcp_addr().unwrap();
        let mut ours = Ours::start_at(key, address, |server| server).await;
        ours.added_within(geth.id(), GETH_REDIAL).await;
        ours.itest.with(geth.id()).await.echo(1).await;
    };
    tokio::join!(geth_restarts, we_restart);
}

#[tokio::test]
async fn two_geths_and_two_of_ours_mesh_from_static_lists() {
    let Some(program) = devp2p_interop::geth() else { return };
    let (mut first, mut second) = (program.server(&[]).await, program.server(&[]).await);
    let geths = [first.node().clone(), second.node().clone()];
    let with_geths = |server: devp2p_server::Builder| {
        geths.iter().cloned().fold(server, devp2p_server::Builder::static_node)
    };
    let third = Ours::start(with_geths).await;
    let fourth = Ours::start(|server| with_geths(server).static_node(third.node())).await;
    third.handle.add_peer(fourth.node());
    for geth in [&mut first, &mut second] {
        geth.dial(&third.node()).await;
        geth.dial(&fourth.node()).await;
    }
    first.dial(second.node()).await;

    lasts(async || {
        third.handle.peer_count() == 3
            && fourth.handle.peer_count() == 3
            && first.peer_count().await == 3
            && second.peer_count().await == 3
    })
    .await;
    for id in [first.id(), second.id(), fourth.id()] {
        assert!(third.handle.peer(id).is_some_and(|peer| peer.is_static), "{id}");
    }
}

/// Waits until something is so and stays so for [`A_WHILE`], which begins within [`GETH_REDIAL`].
/// Two dials that cross can undo each other, and then geth or we dial again.
async fn lasts(mut it_is_so: impl AsyncFnMut() -> bool) {
    let settle = async {
        let mut steps = 0;
        while steps < 50 {
            sleep(A_WHILE / 50).await;
            steps = if it_is_so().await { steps + 1 } else { 0 };
        }
    };
    assert!(timeout(GETH_REDIAL + A_WHILE, settle).await.is_ok(), "it settles");
}

#[tokio::test]
async fn simultaneous_dials_leave_one_connection() {
    let Some(program) = devp2p_interop::geth() else { return };
    // Who collides is a matter of luck: several pairs at once.
    let pairs = (0..6).map(async |_| {
        let mut geth = program.server(&[]).await;
        let ours = Ours::start(|server| server).await;
        let node = geth.node().clone();
        geth.dial(&ours.node()).await;
        ours.handle.add_peer(node);
        lasts(async || ours.handle.peer_count() == 1 && geth.peer_count().await == 1).await;
        geth.echo(ours.id(), "itest", 100).await;
    });
    join_all(pairs).await;
}
