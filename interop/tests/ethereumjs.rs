//! Our server with `@ethereumjs/devp2p`.

use devp2p_core::NodeKey;
use devp2p_interop::{Event, Foreign, Local, Ours};
use devp2p_peer::{Direction, DisconnectReason, Side};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The reasons that ethereumjs knows.
const REASONS: [u8; 13] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x10];

#[tokio::test]
async fn we_dial_ethereumjs_and_exchange_messages() {
    let Some(program) = devp2p_interop::ethereumjs() else { return };
    let mut ethereumjs = program.peer(&[]).await;
    let node = ethereumjs.node().clone();
    let mut ours = Ours::start(|server| server.static_node(node)).await;
    assert_eq!(ours.added(ethereumjs.id()).await.direction, Direction::Outbound);
    let Event::PeerAdd { name, caps, .. } = ethereumjs.added(ours.id()).await else {
        unreachable!("this is what added gives")
    };
    assert_eq!(
        (name.as_str(), caps),
        ("devp2p-interop", vec!["itest/1".into(), "itestb/1".into()])
    );
    exchange(&mut ours, &mut ethereumjs).await;
}

#[tokio::test]
async fn ethereumjs_dials_us_and_exchanges_messages() {
    let Some(program) = devp2p_interop::ethereumjs() else { return };
    let mut ethereumjs = program.peer(&[]).await;
    let mut ours = Ours::start(|server| server).await;
    ethereumjs.dial(&ours.node()).await;
    assert_eq!(ours.added(ethereumjs.id()).await.direction, Direction::Inbound);
    ethereumjs.added(ours.id()).await;
    exchange(&mut ours, &mut ethereumjs).await;
}

async fn exchange(ours: &mut Ours, ethereumjs: &mut Foreign) {
    let mut session = ours.itest.with(ethereumjs.id()).await;
    for (count, sizes) in [(1_000, (1, KIB)), (100, (100 * KIB, 100 * KIB)), (20, (MIB, MIB))] {
        ethereumjs.begin_batch(ours.id(), "itest", count, sizes).await;
        let batch = session.begin_batch(count, sizes).await;
        session.acked(&batch).await;
        assert_eq!(ethereumjs.received("itest").await.sha256, batch.sha256);
        assert_eq!(ethereumjs.sent("itest").await.sha256, session.received().await.sha256);
    }
}

#[tokio::test]
async fn every_reason_is_understood_both_ways() {
    let Some(program) = devp2p_interop::ethereumjs() else { return };
    let mut ethereumjs = program.peer(&[]).await;
    let mut local = Local::new(NodeKey::generate().unwrap()).await;
    for code in REASONS {
        let (running, _session) = local.dial_and_run(ethereumjs.node()).await;
        ethereumjs.added(local.id()).await;
        // It sends the bare code, and does not compress it.
        ethereumjs.disconnect(local.id(), code).await;
        let end = running.end.await.unwrap();
        assert_eq!((end.reason.code(), end.side), (code, Side::Remote), "{end:?}");
        ethereumjs.dropped(local.id()).await;
    }
    for code in REASONS {
        let (running, _session) = local.dial_and_run(ethereumjs.node()).await;
        ethereumjs.added(local.id()).await;
        running.peer.disconnect(DisconnectReason::from_code(code));
        running.end.await.unwrap();
        let dropped = ethereumjs.dropped(local.id()).await;
        // Nobody says that the network failed.
        let told = (code != DisconnectReason::NetworkError.code()).then_some(code);
        assert_eq!(dropped.reason, told);
    }
}
