use std::time::Duration;

use devp2p_core::DiscoveryVersion;
use devp2p_discv5::{Event, Missed, Row, Source, message::MessageKind};
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::{sleep, timeout};

use crate::network::{Network, nobody};

#[tokio::test(start_paused = true)]
async fn every_reader_gets_every_event() {
    let network = Network::new();
    let boot = network.start(1, &[]);
    let (mut one, mut other) = (boot.handle.events(), boot.handle.events());
    let node = network.start(2, &[&boot]);
    sleep(Duration::from_secs(15)).await;

    let mut seen = Vec::new();
    while let Some(Some(event)) = one.next().now_or_never() {
        assert_eq!(other.next().now_or_never(), Some(Some(event.clone())));
        seen.push(event.unwrap());
    }
    let id = node.node().id();
    assert!(seen.iter().any(|event| matches!(event, Event::NodeVerified(n) if n.id() == id)));
    let sighting = |event: &Event| match event {
        Event::Sighting { node, source: Source::Handshake } => node.id() == id,
        _ => false,
    };
    assert!(seen.iter().any(sighting), "{seen:?}");
    let session = Event::SessionEstablished { id, endpoint: node.addr, is_initiator: false };
    assert!(seen.contains(&session), "{seen:?}");
    let vote = Event::Vote { voter: node.addr.ip(), endpoint: boot.addr };
    assert!(seen.contains(&vote), "{seen:?}");

    let late = boot.handle.events().next().now_or_never();
    assert_eq!(late, None, "nothing of what was before");

    assert!(boot.handle.ping(&nobody(9)).await.is_err());
    let timeout = one.next().now_or_never().flatten().unwrap().unwrap();
    assert!(
        matches!(timeout, Event::RequestTimeout { id, kind: MessageKind::Ping, .. }
            if id == nobody(9).id()),
        "{timeout:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_lags_behind_is_told_how_many_it_lost() {
    let network = Network::new();
    let node = network.start(1, &[]);
    let (mut slow, mut fast) = (node.handle.events(), node.handle.events());
    let mut timeouts = 0;
    let count = async {
        while let Some(event) = fast.next().await {
            timeouts += u64::from(matches!(event, Ok(Event::RequestTimeout { .. })));
        }
    };
    let make = async {
        for number in 0..1_100 {
            let _ = node.handle.ping(&nobody(u8::try_from(number % 200 + 2).unwrap())).await;
        }
        node.handle.close().await;
    };
    tokio::join!(count, make);
    assert_eq!(timeouts, 1_100, "nobody is held up by another");
    assert_eq!(slow.next().await, Some(Err(Missed(76))));
    assert_eq!(slow.count().await, 1_024);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_remembered_comes_as_rows() {
    let network = Network::new();
    let boot = network.start(1, &[]);
    let node = network.start(2, &[&boot]);
    // Whoever is alone can as well be offline.
    let _others = [3, 4, 5].map(|number| network.start(number, &[&boot]));
    let mut rows = node.handle.rows();
    let remembered = async {
        loop {
            match rows.next().await {
                Some(Ok(Row::Remember(seed))) if seed.node.id() == boot.node().id() => return seed,
                Some(Ok(Row::Remember(_))) => {}
                row => panic!("{row:?}"),
            }
        }
    };
    let seed = timeout(Duration::from_secs(3_600), remembered).await.unwrap();
    assert_eq!((seed.endpoint, seed.protocol), (boot.addr, DiscoveryVersion::V5));

    boot.task.abort();
    let forgotten = async { while rows.next().await != Some(Ok(Row::Forget(boot.node().id()))) {} };
    // What others answer meanwhile shows that it is not we who are offline.
    let look_around = async {
        loop {
            node.handle.lookup_random().await.unwrap();
        }
    };
    let forgotten = async {
        tokio::select! {
            () = forgotten => {}
            () = look_around => {}
        }
    };
    timeout(Duration::from_secs(3_600), forgotten).await.unwrap();
}
