//! Sessions in which nobody has anything to say.

use std::time::Duration;

use devp2p_interop::{Event, Ours};
use tokio::time::sleep;

/// All give a connection up after 30 s of silence at most.
const IDLE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn idle_sessions_live_on_pings() {
    let mut ours = Ours::start(|server| server).await;
    let mut peers = Vec::new();
    if let Some(geth) = devp2p_interop::geth() {
        peers.extend([geth.server(&[]).await, geth.server(&[]).await]);
    }
    if let Some(ethereumjs) = devp2p_interop::ethereumjs() {
        peers.extend([ethereumjs.peer(&[]).await, ethereumjs.peer(&[]).await]);
    }
    if peers.is_empty() {
        return;
    }
    // One of each kind dials, and one is dialed.
    for (index, peer) in peers.iter_mut().enumerate() {
        if index % 2 == 0 {
            peer.dial(&ours.node()).await;
        } else {
            ours.handle.add_peer(peer.node().clone());
        }
        ours.added(peer.id()).await;
    }

    sleep(IDLE).await;

    for peer in &mut peers {
        let info = ours.handle.peer(peer.id()).unwrap();
        assert!(info.rtt.is_some() && info.age >= IDLE, "{info:?}");
        let drops = peer.seen(|event| matches!(event, Event::PeerDrop { .. }).then_some(()));
        assert!(drops.is_empty(), "it was one session all the time");
        ours.itest.with(peer.id()).await.echo(100).await;
        peer.echo(ours.id(), "itest", 100).await;
    }
}
