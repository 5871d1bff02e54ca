//! What is logged, and in which span.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use devp2p_peer::{Direction, PipeConfig};
use futures::StreamExt as _;
use tracing::Instrument as _;

use crate::common::*;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines of go-ethereum's `peer.go`, at its level, in the span that the caller gave the peer;
/// what the subprotocol logs itself is in it too.
#[tokio::test(start_paused = true)]
async fn events_belong_to_the_peer() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    let _default = tracing::subscriber::set_default(subscriber);

    let talks = script("talks", |_, mut stream| {
        Box::pin(async move {
            tracing::info!("a word of the subprotocol");
            while stream.next().await.is_some() {}
            Ok(())
        })
    });
    let fails = script("fails", |_, mut stream| {
        Box::pin(async move {
            stream.next().await;
            let said = "\u{1b}[2J\nERROR forged \u{202e}".to_owned() + &"long".repeat(1 << 20);
            Err(devp2p_peer::ProtocolError::bad_message(said))
        })
    });
    let protocols = [talks, fails];
    let (left, right) =
        established(&config(), &PipeConfig::default(), &protocols, &protocols).await;
    // A test beside this one may have met a log point for the first time just when the subscriber
    // was set, and then nobody would be told of it.
    tracing::callsite::rebuild_interest_cache();
    let (_peer, left) = left.run(&protocols, Direction::Outbound, None);
    let left = tokio::spawn(left.instrument(tracing::info_span!("peer", id = "abcd")));
    settle().await;
    right.disconnect(devp2p_peer::DisconnectReason::Quitting, secs(2)).await;
    left.await.unwrap();

    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("peer{id=\"abcd\"}")).collect();
    let ours = "TRACE peer{id=\"abcd\"}: devp2p_peer::";
    for expected in [
        "Starting protocol capability=fails/1",
        "Starting protocol capability=talks/1",
        "Protocol returned capability=talks/1",
        r#"Protocol failed capability=fails/1 error="bad message: \u{1b}[2J\nERROR forged \u{202e}long"#,
    ] {
        let found = lines.iter().filter(|line| line.contains(expected)).collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "{expected}: {text}");
        assert!(found[0].trim_start().starts_with(ours), "{}", found[0]);
    }
    assert!(lines.iter().any(|line| line.contains("a word of the subprotocol")), "{text}");
    // What a subprotocol tells of the remote's words neither steers a terminal nor fills a disk.
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    assert!(text.lines().all(|line| line.len() < 2_000 && !line.starts_with("ERROR")), "{text:?}");
}
