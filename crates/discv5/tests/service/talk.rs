use std::time::Duration;

use devp2p_discv5::{RespondError, TalkError};
use futures::{StreamExt, future::join_all};
use tokio::time::{sleep, timeout};

use crate::network::{LATENCY, Network, now};

/// How long a request waits for its answer.
const TALK_TIMEOUT: Duration = Duration::from_millis(400);

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_by_whoever_has_registered_its_protocol() {
    let network = Network::new();
    let (asker, asked) = (network.start(1, &[]), network.start(2, &[]));
    let (mut one, mut other) = (
        asked.handle.register_talk("one").await.unwrap(),
        asked.handle.register_talk("other").await.unwrap(),
    );
    let answering = async {
        let request = one.next().await.unwrap();
        assert_eq!((request.id(), request.endpoint()), (asker.node().id(), asker.addr));
        assert_eq!((&request.protocol()[..], &request.request()[..]), (&b"one"[..], &b"1"[..]));
        assert_eq!(request.respond("the first").await, Ok(()));
        let request = StreamExt::next(&mut other).await.unwrap();
        assert_eq!(request.request(), "2");
        assert_eq!(request.respond("the second").await, Ok(()));
    };
    let at = asked.node();
    let asking = async {
        assert_eq!(asker.handle.talk(&at, "one", "1").await.unwrap(), "the first");
        assert_eq!(asker.handle.talk(&at, "other", "2").await.unwrap(), "the second");
        assert_eq!(asker.handle.talk(&at, "unheard of", "3").await.unwrap(), "");
    };
    tokio::join!(answering, asking);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_answered_in_time_gets_nothing_and_cannot_be_answered_any_more() {
    let network = Network::new();
    let (asker, asked) = (network.start(1, &[]), network.start(2, &[]));
    let mut requests = asked.handle.register_talk("slow").await.unwrap();
    let at = asked.node();
    asker.handle.ping(&at).await.unwrap();
    let start = now();
    assert_eq!(asker.handle.talk(&at, "slow", "?").await.unwrap(), "");
    assert_eq!(now() - start, TALK_TIMEOUT + 2 * LATENCY);
    let late = requests.next().await.unwrap();
    assert_eq!(late.respond("now").await, Err(TalkError::Respond(RespondError::Late)));

    // One that is dropped has its time, too.
    let (start, asking) = (now(), asker.handle.talk(&at, "slow", "?"));
    let (answer, dropped) = tokio::join!(asking, requests.next());
    drop(dropped);
    assert_eq!((answer.unwrap(), now() - start), ("".into(), TALK_TIMEOUT + 2 * LATENCY));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_fits_into_no_packet_is_refused() {
    let network = Network::new();
    let (asker, asked) = (network.start(1, &[]), network.start(2, &[]));
    let mut requests = asked.handle.register_talk("large").await.unwrap();
    let answering = async {
        let request = requests.next().await.unwrap();
        let refused = request.respond(vec![1; 1_280]).await;
        assert_eq!(refused, Err(TalkError::Respond(RespondError::TooLarge)));
        let request = requests.next().await.unwrap();
        assert_eq!(request.respond(vec![1; 1_100]).await, Ok(()));
    };
    let at = asked.node();
    let asking = async {
        assert_eq!(asker.handle.talk(&at, "large", "").await.unwrap(), "", "in the end");
        assert_eq!(asker.handle.talk(&at, "large", "").await.unwrap().len(), 1_100);
    };
    tokio::join!(answering, asking);
}

#[tokio::test(start_paused = true)]
async fn the_last_who_registers_a_protocol_has_it_until_it_is_dropped() {
    let network = Network::new();
    let (asker, asked) = (network.start(1, &[]), network.start(2, &[]));
    let at = asked.node();
    let mut first = asked.handle.register_talk("test").await.unwrap();
    let mut second = asked.handle.register_talk("test").await.unwrap();
    assert!(timeout(SECOND, first.next()).await.unwrap().is_none());
    drop(first);
    let answering = async { second.next().await.unwrap().respond("second").await.unwrap() };
    let (answer, ()) = tokio::join!(asker.handle.talk(&at, "test", ""), answering);
    assert_eq!(answer.unwrap(), "second");

    drop(second);
    sleep(LATENCY).await;
    let start = now();
    assert_eq!(asker.handle.talk(&at, "test", "").await.unwrap(), "");
    assert_eq!(now() - start, 2 * LATENCY, "nobody has it: at once");
}

#[tokio::test(start_paused = true)]
async fn requests_that_nobody_reads_hold_up_nothing() {
    let network = Network::new();
    let (asker, asked) = (network.start(1, &[]), network.start(2, &[]));
    let at = asked.node();
    let mut requests = asked.handle.register_talk("unread").await.unwrap();
    asker.handle.ping(&at).await.unwrap();
    let mut told = 0;
    // At the rate of one session, until more wait than are kept.
    for _ in 0..30 {
        let asking = (0..50).map(|_| asker.handle.talk(&at, "unread", "?"));
        for answer in join_all(asking).await {
            told += usize::from(answer.unwrap().is_empty());
        }
        sleep(SECOND).await;
        assert!(asker.handle.ping(&at).await.is_ok());
    }
    assert_eq!(told, 1_500);
    let start = now();
    assert_eq!(asker.handle.talk(&at, "unread", "?").await.unwrap(), "");
    assert_eq!(now() - start, 2 * LATENCY, "there is no room: at once");
    let mut kept = 0;
    while let Ok(Some(_)) = timeout(LATENCY, requests.next()).await {
        kept += 1;
    }
    assert_eq!(kept, 1_024);
}
