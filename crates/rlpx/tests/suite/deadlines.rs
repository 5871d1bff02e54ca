//! Deadlines, on paused time.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use devp2p_core::{ConnectionError, Fault};
use devp2p_rlpx::{Config, Connection};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, Empty, Join,
        ReadBuf, Sink, empty, join, sink,
    },
    time::{Instant, advance, sleep},
};

use crate::support::{connected, message, noise, sessions};

const READ: Duration = Duration::from_secs(30);
const WRITE: Duration = Duration::from_secs(20);
const SECOND: Duration = Duration::from_secs(1);

async fn pair(size: usize) -> (Connection<DuplexStream>, Connection<DuplexStream>) {
    let config = Config::default();
    assert_eq!((config.read_timeout, config.write_timeout), (READ, WRITE));
    connected(size, &config).await
}

#[tokio::test(start_paused = true)]
async fn a_silent_remote_is_given_up_after_30_seconds() {
    let (mut near, mut far) = pair(4096).await;
    let start = Instant::now();
    let error = near.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::ReadTimeout));
    assert_eq!(error.fault(), Fault::Network);
    assert_eq!(start.elapsed(), READ);
    assert!(near.next().await.is_none());
    // It can still be told.
    near.send(message(1, "read timeout")).await.unwrap();
    assert_eq!(far.next().await.unwrap().unwrap().payload, "read timeout");
}

#[tokio::test(start_paused = true)]
async fn every_message_starts_the_deadline_anew() {
    let (mut near, mut far) = pair(4096).await;
    let start = Instant::now();
    let sending = async {
        for id in 0..5 {
            sleep(READ - SECOND).await;
            far.send(message(id, "ping")).await.unwrap();
        }
        // and now nothing more
        sleep(READ * 2).await;
    };
    let reading = async {
        for id in 0..5 {
            assert_eq!(near.next().await.unwrap().unwrap().id, id);
        }
        let error = near.next().await.unwrap().unwrap_err();
        assert!(matches!(error, ConnectionError::ReadTimeout));
        assert_eq!(start.elapsed(), (READ - SECOND) * 5 + READ);
    };
    tokio::join!(sending, reading);
}

#[tokio::test(start_paused = true)]
async fn bytes_of_one_message_do_not_extend_it() {
    let (mut near, mut far) = pair(4096).await;
    far.feed(message(1, noise(1000, 1))).await.unwrap();
    let mut far = far.into_parts();
    let start = Instant::now();
    let trickling = async {
        for byte in &far.write_buffer {
            if far.io.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(SECOND).await;
            if start.elapsed() > READ * 2 {
                break;
            }
        }
    };
    let reading = async {
        let error = near.next().await.unwrap().unwrap_err();
        assert!(matches!(error, ConnectionError::ReadTimeout));
        assert_eq!(start.elapsed(), READ);
    };
    tokio::join!(trickling, reading);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_does_not_run_while_the_reader_pauses() {
    let (mut near, mut far) = pair(4096).await;
    far.send(message(1, "first")).await.unwrap();
    assert_eq!(near.next().await.unwrap().unwrap().id, 1);
    // The reader is busy elsewhere; nothing has come meanwhile, and that is nobody's fault.
    advance(READ * 10).await;
    assert!(near.next().now_or_never().is_none(), "waits");
    far.send(message(2, "second")).await.unwrap();
    assert_eq!(near.next().await.unwrap().unwrap().id, 2);

    // Once it reads again, the time is what it was.
    advance(READ * 10).await;
    let start = Instant::now();
    let error = near.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::ReadTimeout));
    assert_eq!(start.elapsed(), READ);
}

/// The reader waited a moment, did something else past the deadline, and comes back in the middle
/// of a message.
#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_while_the_reader_pauses_starts_anew() {
    for pause in [READ + SECOND + Duration::from_millis(2), READ * 100] {
        let (mut near, mut far) = pair(4096).await;
        assert!(near.next().now_or_never().is_none(), "the deadline runs");
        far.feed(message(1, noise(1000, 1))).await.unwrap();
        let mut far = far.into_parts();
        far.io.write_all(&far.write_buffer[..500]).await.unwrap();
        advance(pause).await;
        assert!(near.next().now_or_never().is_none(), "not timed out for the pause");
        advance(READ - SECOND).await;
        assert!(near.next().now_or_never().is_none(), "the deadline is a whole one");
        far.io.write_all(&far.write_buffer[500..]).await.unwrap();
        assert_eq!(near.next().await.unwrap().unwrap().payload, noise(1000, 1));

        // And again, but the rest never comes.
        assert!(near.next().now_or_never().is_none());
        advance(pause).await;
        let start = Instant::now();
        let error = near.next().await.unwrap().unwrap_err();
        assert!(matches!(error, ConnectionError::ReadTimeout));
        assert_eq!(start.elapsed(), READ);
    }
}

/// A machine with much to do polls a little late, which is no pause.
#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_a_little_late_is_timed_out() {
    let (mut near, _far) = pair(4096).await;
    assert!(near.next().now_or_never().is_none());
    advance(READ + SECOND - Duration::from_millis(10)).await;
    let error = near.next().now_or_never().unwrap().unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::ReadTimeout));
}

#[tokio::test(start_paused = true)]
async fn what_has_come_in_time_is_read_however_late() {
    let (mut near, mut far) = pair(4096).await;
    assert!(near.next().now_or_never().is_none(), "the deadline runs");
    far.send(message(1, "in time")).await.unwrap();
    advance(READ * 10).await;
    assert_eq!(near.next().await.unwrap().unwrap().payload, "in time");
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_takes_nothing_is_given_up_after_20_seconds() {
    let (mut near, mut far) = pair(100).await;
    far.send(message(1, "why")).await.unwrap();
    let start = Instant::now();
    let error = near.send(message(2, noise(1000, 1))).await.unwrap_err();
    assert!(matches!(error, ConnectionError::WriteTimeout));
    assert_eq!(error.fault(), Fault::Network);
    assert_eq!(start.elapsed(), WRITE);
    assert!(matches!(near.flush().await.unwrap_err(), ConnectionError::Closed));
    // What it said can still be read.
    assert_eq!(near.next().await.unwrap().unwrap().payload, "why");
}

#[tokio::test(start_paused = true)]
async fn back_pressure_has_the_same_deadline() {
    let (mut near, _far) = pair(100).await;
    let start = Instant::now();
    let error = loop {
        if let Err(error) = near.feed(message(2, noise(2000, 1))).await {
            break error;
        }
    };
    assert!(matches!(error, ConnectionError::WriteTimeout));
    assert_eq!(start.elapsed(), WRITE);
}

#[tokio::test(start_paused = true)]
async fn a_remote_that_takes_a_little_now_and_then_is_slow_not_lost() {
    let (mut near, far) = pair(100).await;
    let mut far = far.into_parts().io;
    let start = Instant::now();
    let writing = async {
        near.send(message(2, noise(1000, 1))).await.unwrap();
        assert!(start.elapsed() > WRITE * 5);
    };
    let taking = async {
        let mut piece = [0; 100];
        for _ in 0..11 {
            sleep(WRITE - SECOND).await;
            far.read_exact(&mut piece[..96]).await.unwrap();
        }
    };
    tokio::join!(writing, taking);
}

#[tokio::test(start_paused = true)]
async fn the_write_deadline_runs_only_while_bytes_wait() {
    let (mut near, mut far) = pair(4096).await;
    for id in 0..3 {
        near.send(message(id, "ping")).await.unwrap();
        near.flush().await.unwrap();
        advance(WRITE * 10).await;
        assert_eq!(far.next().await.unwrap().unwrap().id, id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_deadline_that_passes_while_the_writer_pauses_starts_anew() {
    let (mut near, _far) = pair(100).await;
    near.feed(message(2, noise(1000, 1))).await.unwrap();
    assert!(near.flush().now_or_never().is_none(), "the deadline runs");
    advance(WRITE + SECOND * 2).await;
    let start = Instant::now();
    let error = near.flush().await.unwrap_err();
    assert!(matches!(error, ConnectionError::WriteTimeout));
    assert_eq!(start.elapsed(), WRITE);
}

/// A stream, as of TLS, may have to write to be shut down.
#[tokio::test(start_paused = true)]
async fn a_shutdown_has_the_write_deadline_too() {
    let io = NeverShut(join(empty(), sink()));
    let config = Config::default();
    let mut near = Connection::new(io, sessions().0, BytesMut::new(), &config);
    let start = Instant::now();
    assert!(matches!(near.close().await.unwrap_err(), ConnectionError::WriteTimeout));
    assert_eq!(start.elapsed(), WRITE);
    near.close().await.unwrap();
}

struct NeverShut(Join<Empty, Sink>);

impl AsyncRead for NeverShut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for NeverShut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_has_the_write_deadline_too() {
    let (mut near, _far) = pair(100).await;
    near.feed(message(2, noise(1000, 1))).await.unwrap();
    let start = Instant::now();
    assert!(matches!(near.close().await.unwrap_err(), ConnectionError::WriteTimeout));
    assert_eq!(start.elapsed(), WRITE);
    near.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_timeout_beyond_all_instants_is_none() {
    let mut config = Config::default();
    config.read_timeout = Duration::MAX;
    config.handshake_timeout = Duration::MAX;
    let (mut near, mut far) = connected(4096, &config).await;
    assert!(near.next().now_or_never().is_none());
    advance(Duration::from_secs(86_400 * 365)).await;
    far.send(message(1, "late")).await.unwrap();
    assert_eq!(near.next().await.unwrap().unwrap().payload, "late");
}
