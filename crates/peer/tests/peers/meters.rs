//! What peers count of their messages.

use std::collections::BTreeMap;

use devp2p_core::Message;
use devp2p_peer::{
    CapabilityMeters, Event, MessageCount, Meter, Peer, PipeConfig, Session, share_capabilities,
};
use futures::{SinkExt as _, StreamExt as _};

use crate::common::*;

/// Sends these messages, then waits for the end.
fn sender(name: &str, ids: &'static [(u64, usize)]) -> devp2p_peer::Protocol {
    script(name, move |_, mut stream| {
        Box::pin(async move {
            for &(id, size) in ids {
                stream.send(message(id, vec![0; size])).await?;
            }
            while stream.next().await.is_some() {}
            Ok(())
        })
    })
}

fn by_name(peer: &Peer) -> BTreeMap<String, CapabilityMeters> {
    peer.meters().into_iter().map(|meters| (meters.capability.to_string(), meters)).collect()
}

fn used(
    meters: &CapabilityMeters,
    count: impl Fn(&Meter) -> MessageCount,
) -> Vec<(usize, u64, u64)> {
    let counts = meters.by_id.iter().map(count).enumerate();
    let used = counts.filter(|(_, count)| *count != MessageCount::default());
    used.map(|(id, count)| (id, count.messages, count.bytes)).collect()
}

#[tokio::test(start_paused = true)]
async fn each_message_is_counted_once_at_both_ends_with_its_capability_and_id() {
    let ours = [sender("news", &[(0, 5), (3, 100), (3, 50)]), sender("talk", &[(15, 1)])];
    let theirs = [sink("news"), sender("talk", &[(2, 0), (0, 7)])];
    let (left, right) = both(&config(), &PipeConfig::default(), &ours, &theirs).await;
    settle().await;
    // Whoever is asked: what one sent, the other received.
    let (here, there) = (by_name(&left.peer), by_name(&right.peer));
    for (sent, received) in [(&here, &there), (&there, &here)] {
        for name in ["news/1", "talk/1"] {
            assert_eq!(
                used(&sent[name], |meter| meter.sent),
                used(&received[name], |meter| meter.received),
                "{name}"
            );
        }
    }
    assert_eq!(used(&here["news/1"], |meter| meter.sent), [(0, 1, 5), (3, 2, 150)]);
    assert_eq!(used(&here["talk/1"], |meter| meter.sent), [(15, 1, 1)]);
    assert_eq!(used(&there["talk/1"], |meter| meter.sent), [(0, 1, 7), (2, 1, 0)]);
    let total = here["talk/1"].total();
    assert_eq!(total, Meter::new(MessageCount::new(2, 7), MessageCount::new(1, 1)));
    // Pings do not belong to any of them, and after the end the counts are still there.
    tokio::time::sleep(secs(60)).await;
    assert_eq!(by_name(&left.peer), here);
    left.peer.disconnect(devp2p_peer::DisconnectReason::Requested);
    left.end.await.unwrap();
    assert_eq!(by_name(&left.peer), here);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_told_by_direction() {
    // The right end takes nothing: 2 messages wait for its subprotocol, 1 is under way.
    let mut config = config();
    config.inbound_messages = 2;
    let mut pipe = PipeConfig::default();
    pipe.messages = 1;
    let ours = [sender("news", &[(0, 10), (0, 20), (0, 30), (0, 40), (0, 50)])];
    let (left, right) = both(&config, &pipe, &ours, &[idle("news")]).await;
    settle().await;
    let (here, there) = (&left.peer.meters()[0], &right.peer.meters()[0]);
    assert_eq!(there.waiting_inbound, MessageCount::new(2, 30));
    assert_eq!(there.waiting_outbound, MessageCount::default());
    assert_eq!(here.waiting_outbound, MessageCount::new(1, 40), "the next waits for it");
    assert_eq!((here.total().sent.messages, there.total().received.messages), (3, 2));
    left.peer.disconnect(devp2p_peer::DisconnectReason::Requested);
    left.end.await.unwrap();
    assert_eq!(left.peer.meters()[0].waiting_outbound, MessageCount::default(), "dropped");
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_no_capability_is_not_counted() {
    let own = [(devp2p_peer::Capability::new("news", 1), 2)];
    let shared = share_capabilities(&own, &[own[0].0.clone()]);
    let now = tokio_now();
    let mut session = Session::new(&config(), shared, [0; 32], now);
    session.handle_message(now, Message { id: 0x02, payload: vec![0xc0].into() });
    session.handle_message(now, message(0x11, vec![0; 3]));
    session.discard(now, 0);
    session.handle_message(now, message(0x11, vec![0; 4]));
    assert_eq!(session.meters()[0].by_id[1].received, MessageCount::new(2, 7), "also the dropped");
    session.handle_message(now, message(0x12, vec![0; 5]));
    while !matches!(session.poll_event(), Some(Event::Ended(_))) {}
    session.handle_message(now, message(0x11, vec![0; 6]));
    assert_eq!(session.meters()[0].total().received, MessageCount::new(2, 7));
}

#[expect(clippy::disallowed_methods, reason = "the clock of a test")]
fn tokio_now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
