//! The pipe keeps the contract of a connection.

use devp2p_core::{ConnectionError, Traffic};
use devp2p_peer::{Hello, PipeConfig, pipe, pipe_with};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};

use crate::common::*;

#[tokio::test]
async fn order_and_traffic() {
    let (mut left, mut right) = pipe(key(1).public_key(), key(2).public_key());
    assert_eq!(left.remote(), key(2).public_key());
    assert_eq!(right.remote(), key(1).public_key());
    assert_eq!((left.local_addr(), left.remote_addr()), (None, None));
    for number in 0..10 {
        left.send(numbered(number.into(), number)).await.unwrap();
    }
    assert_eq!(left.traffic(), Traffic { ingress: 0, egress: 50 });
    assert_eq!(right.traffic(), Traffic::default(), "nothing is read ahead");
    for expected in 0..10 {
        assert_eq!(right.next().await.unwrap().unwrap(), numbered(expected.into(), expected));
    }
    assert_eq!(right.traffic(), Traffic { ingress: 50, egress: 0 });
}

#[tokio::test]
async fn back_pressure_in_messages_and_in_bytes() {
    let mut config = PipeConfig::default();
    (config.messages, config.bytes) = (3, 100);
    for (size, fit) in [(0, 3), (40, 3), (60, 2), (1_000, 1)] {
        let (mut left, mut right) = pipe_with(key(1).public_key(), key(2).public_key(), &config);
        let mut sent = 0;
        while left.send(message(1, vec![0; size])).now_or_never().is_some() {
            sent += 1;
        }
        assert_eq!(sent, fit, "of {size} bytes");
        right.next().await.unwrap().unwrap();
        assert!(left.send(message(1, vec![0; size])).now_or_never().is_some());
    }
}

#[tokio::test]
async fn limits_of_both_directions() {
    let (mut left, mut right) = pipe(key(1).public_key(), key(2).public_key());
    left.send(message(0, vec![0; Hello::MAX_SIZE])).await.unwrap();
    right.next().await.unwrap().unwrap();
    let error = left.send(message(0, vec![0; Hello::MAX_SIZE + 1])).await.unwrap_err();
    assert!(matches!(error, ConnectionError::MessageTooLarge { size: 2049, limit: 2048 }));
    left.send(message(0, vec![])).await.unwrap();
    right.next().await.unwrap().unwrap();

    left.as_mut().established(true);
    left.send(message(0, vec![0; Hello::MAX_SIZE + 1])).await.unwrap();
    let error = right.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::Malformed(_)));
    assert!(right.next().await.is_none(), "one error, then the end");
    right.send(message(0, vec![])).await.unwrap();
    assert!(left.next().await.unwrap().is_ok(), "the sink can still say why");
}

#[tokio::test]
async fn close() {
    let (mut left, mut right) = pipe(key(1).public_key(), key(2).public_key());
    left.send(numbered(1, 7)).await.unwrap();
    left.close().await.unwrap();
    assert!(matches!(left.send(numbered(1, 8)).await, Err(ConnectionError::Closed)));
    assert_eq!(right.next().await.unwrap().unwrap(), numbered(1, 7));
    assert!(right.next().await.is_none());
    // The other direction is still open.
    right.send(numbered(1, 9)).await.unwrap();
    assert_eq!(left.next().await.unwrap().unwrap(), numbered(1, 9));
    drop(left);
    assert!(right.send(numbered(1, 10)).await.is_err());
}

#[tokio::test]
async fn a_drop_closes_and_what_was_sent_arrives() {
    let (mut left, mut right) = pipe(key(1).public_key(), key(2).public_key());
    left.send(numbered(1, 7)).await.unwrap();
    right.send(numbered(1, 8)).await.unwrap();
    drop(left);
    assert!(right.flush().await.is_err(), "it was never read");
    assert_eq!(right.next().await.unwrap().unwrap(), numbered(1, 7));
    assert!(right.next().await.is_none());
}

/// Whoever waits is woken: a reader by a message and by a close, a writer by room and by a close.
#[tokio::test]
async fn who_waits_is_woken() {
    let mut config = PipeConfig::default();
    config.messages = 1;
    let (mut left, mut right) = pipe_with(key(1).public_key(), key(2).public_key(), &config);
    let reader = tokio::spawn(async move { (right.next().await.unwrap().unwrap(), right) });
    settle().await;
    left.send(numbered(1, 1)).await.unwrap();
    let (received, mut right) = reader.await.unwrap();
    assert_eq!(received, numbered(1, 1));

    left.send(numbered(1, 2)).await.unwrap();
    let writer = tokio::spawn(async move { (left.send(numbered(1, 3)).await, left) });
    settle().await;
    right.next().await.unwrap().unwrap();
    let (sent, mut left) = writer.await.unwrap();
    sent.unwrap();

    let writer = tokio::spawn(async move { (left.send(numbered(1, 4)).await, left) });
    settle().await;
    drop(right);
    let (sent, mut left) = writer.await.unwrap();
    assert!(sent.is_err());
    assert!(left.next().await.is_none());
}
