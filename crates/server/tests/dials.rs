//! Whom a server dials again and when, and what it tells of that.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use devp2p_dial::{DialKind, RefusalCause};
use devp2p_peer::{Direction, DisconnectReason, Protocol, Side};
use devp2p_server::{DialOutcome, Handle, NodeList, SetupFailure};
use tokio::{task::JoinHandle, time::sleep};

use self::support::{
    Listening, Quiet, addr, hello, id,
    links::{Latency, Links},
    node, server,
};

const DAY: Duration = Duration::from_hours(24);

/// What the remote, node 2, does with each connection.
#[derive(Clone, Copy)]
enum Manner {
    /// It has another subprotocol than ours.
    OtherCapability,
    /// It has no use for us, and says so in the place of its Hello.
    RefusesUs,
    /// It ends the session so long after its start, for this reason.
    Ends(Duration, DisconnectReason),
}

/// A server that discovery offers node 2 all the time, and how often that was dialed.
async fn dialing(manner: Manner) -> (Handle, Arc<AtomicU64>, JoinHandle<()>) {
    let links = Links::new(Latency::NONE, 1);
    let dialed = Arc::<AtomicU64>::default();
    let (mut listening, count) = (Listening::new(&links, 2), Arc::clone(&dialed));
    let ours = server(&links, 1).discovery(NodeList::new([node(2)])).start().await.unwrap();
    let remote = tokio::spawn(async move {
        loop {
            let io = listening.wait().await;
            count.fetch_add(1, Ordering::Relaxed);
            let remote = listening.secure(io).await;
            match manner {
                Manner::OtherCapability => {
                    let (reason, _) = remote.saying(hello(2, &["other"])).refusal().await;
                    assert_eq!(reason, DisconnectReason::UselessPeer);
                }
                Manner::RefusesUs => remote.refuse(DisconnectReason::UselessPeer).await,
                Manner::Ends(after, reason) => {
                    let protocols = [Protocol::new(Quiet("test"))];
                    let greeted = remote.greet().await.unwrap();
                    let (peer, life) = greeted.run(&protocols, Direction::Inbound, None);
                    let life = tokio::spawn(life);
                    sleep(after).await;
                    peer.disconnect(reason);
                    life.await.unwrap();
                }
            }
        }
    });
    (ours, dialed, remote)
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_shared_capability_is_dialed_eight_times_a_day() {
    for manner in [Manner::OtherCapability, Manner::RefusesUs] {
        let (ours, dialed, remote) = dialing(manner).await;
        // At 0, 10, 30, 70, 150, 310, 630 and 1,270 min.
        sleep(DAY).await;
        assert_eq!(dialed.load(Ordering::Relaxed), 8);

        let status = ours.dial_status();
        let [record] = status.recent.as_slice() else { panic!("{:?}", status.recent) };
        let outcome = match manner {
            Manner::RefusesUs => {
                DialOutcome::Failed(SetupFailure::RefusedByRemote(DisconnectReason::UselessPeer))
            }
            _ => DialOutcome::Refused(DisconnectReason::UselessPeer),
        };
        assert_eq!((record.id, record.addr, record.outcome), (id(2), Some(addr(2)), outcome));
        assert_eq!((record.kind, record.failures), (DialKind::Dynamic, 8));
        let wait = record.ago + record.retry_in.unwrap();
        assert_eq!(wait, Duration::from_mins(1_280), "from its last dial to the next");
        // Discovery offers it every second.
        let useless = status.refusals[&RefusalCause::Useless];
        assert!((80_000..86_400).contains(&useless), "{useless}");
        assert!(ours.disconnects().is_empty(), "it never was a peer");
        ours.stop().await;
        assert!(!remote.is_finished(), "its checks failed");
    }
}

#[tokio::test(start_paused = true)]
async fn so_is_one_of_another_chain() {
    for reason in [DisconnectReason::UselessPeer, DisconnectReason::Subprotocol] {
        let (ours, dialed, remote) = dialing(Manner::Ends(Duration::from_secs(1), reason)).await;
        sleep(DAY).await;
        assert_eq!(dialed.load(Ordering::Relaxed), 8, "{reason}");

        let ends = ours.disconnects();
        assert_eq!(ends.len(), 8);
        for end in &ends {
            assert_eq!((end.id, end.name.as_str()), (id(2), "node 2"));
            assert_eq!((end.direction, end.remote_addr), (Direction::Outbound, Some(addr(2))));
            assert_eq!((end.reason, end.side, end.age.as_secs()), (reason, Side::Remote, 1));
            assert!(!end.is_static && !end.is_trusted);
        }
        let status = ours.dial_status();
        let outcome = DialOutcome::Ended { reason, side: Side::Remote };
        assert_eq!((status.recent[0].outcome, status.recent[0].failures), (outcome, 8));
        assert_eq!((status.dialed, status.recent.len()), (0, 1));
        ours.stop().await;
        assert!(!remote.is_finished(), "its checks failed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_makes_room_for_others_is_dialed_again() {
    // As go-ethereum does, with a peer that has been one for 10 min.
    let manner = Manner::Ends(Duration::from_mins(10), DisconnectReason::UselessPeer);
    let (ours, dialed, remote) = dialing(manner).await;
    sleep(Duration::from_mins(5)).await;
    let status = ours.dial_status();
    assert_eq!((status.dialed, status.max_dialed), (1, 16));
    assert_eq!((status.wanted, status.recent[0].outcome), (15, DialOutcome::Added));
    assert_eq!(status.recent[0].retry_in, None);
    sleep(Duration::from_mins(54)).await;
    assert_eq!(dialed.load(Ordering::Relaxed), 6);
    let ages = ours.disconnects().into_iter().map(|end| end.age.as_secs());
    assert_eq!(ages.collect::<Vec<_>>(), [600; 5]);
    ours.stop().await;
    assert!(!remote.is_finished(), "its checks failed");
}
