use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use devp2p_core::{Connection as _, ConnectionError, Fault};
use devp2p_rlpx::{Config, Connection, accept_tcp, connect_tcp, frame::HEADER_SIZE};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _, poll};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, join, sink},
    net::{TcpListener, TcpStream},
};

use crate::support::{Fragmented, connected, connected_over, key, message, noise, sessions};

#[tokio::test]
async fn before_hello_large_messages_are_refused_and_the_connection_lives() {
    let (mut near, mut far) = connected(1 << 20, &Config::default()).await;
    let error = near.send(message(0, noise(2049, 1))).await.unwrap_err();
    assert!(matches!(error, ConnectionError::MessageTooLarge { size: 2049, limit: 2048 }));
    near.send(message(0, noise(2048, 1))).await.unwrap();
    assert_eq!(far.next().await.unwrap().unwrap().payload, noise(2048, 1));

    Pin::new(&mut near).established(true);
    Pin::new(&mut far).established(true);
    near.send(message(0x10, noise(200_000, 1))).await.unwrap();
    assert_eq!(far.next().await.unwrap().unwrap().payload, noise(200_000, 1));
}

#[tokio::test]
async fn a_header_of_ffffff_before_hello_ends_the_connection() {
    let (near, mut far) = connected(1 << 20, &Config::default()).await;
    let mut near = near.into_parts();
    let mut wire = BytesMut::new();
    let mut header = [0; 16];
    header[..3].fill(0xff);
    near.codec.egress.seal_raw(header, &[], &mut wire);
    near.io.write_all(&wire[..HEADER_SIZE]).await.unwrap();
    let error = far.next().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the remote broke the protocol: the frame is too large");
    assert_eq!(error.fault(), Fault::Remote);
    assert!(far.next().await.is_none());
}

#[tokio::test]
async fn one_error_then_the_end_but_the_reason_can_be_told() {
    let (near, mut far) = connected(1 << 20, &Config::default()).await;
    let mut near = near.into_parts();
    let mut wire = BytesMut::new();
    near.codec.seal(1, b"good", &mut wire).unwrap();
    near.codec.seal(2, b"good too", &mut wire).unwrap();
    wire.extend_from_slice(&[0; 100]);
    near.io.write_all(&wire).await.unwrap();
    // Frames are not decoded ahead: what is good is given before what is bad is found.
    assert_eq!(far.next().await.unwrap().unwrap().payload, "good");
    assert_eq!(far.next().await.unwrap().unwrap().payload, "good too");
    let error = far.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::Malformed("the frame's header has a wrong tag")));
    assert!(far.next().await.is_none());
    assert!(far.next().await.is_none());

    far.send(message(1, "breach of protocol")).await.unwrap();
    far.close().await.unwrap();
    let mut wire = Vec::new();
    near.io.read_to_end(&mut wire).await.unwrap();
    let mut wire = BytesMut::from(&wire[..]);
    let told = near.codec.open(&mut wire).unwrap().unwrap();
    assert_eq!(told.payload, "breach of protocol");
    assert!(wire.is_empty());
}

#[tokio::test]
async fn a_clean_close_is_the_end_and_a_cut_frame_an_error() {
    let mut whole = BytesMut::new();
    let (mut sealing, _) = { sessions() }.0.into_codec().split();
    sealing.seal(1, b"last words", &mut whole).unwrap();
    for length in 0..=whole.len() {
        let io = join(&whole[..length], sink());
        let mut connection = Connection::new(io, sessions().1, BytesMut::new(), &Config::default());
        if length == whole.len() {
            assert_eq!(connection.next().await.unwrap().unwrap().payload, "last words");
        } else if length > 0 {
            let error = connection.next().await.unwrap().unwrap_err();
            assert_eq!(error.fault(), Fault::Network);
            match error {
                ConnectionError::Io(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                }
                other => panic!("cut to {length}: {other}"),
            }
        }
        assert!(connection.next().await.is_none(), "cut to {length}");
    }
}

#[tokio::test]
async fn after_close_nothing_is_sent_but_reading_goes_on() {
    let (mut near, mut far) = connected(1 << 20, &Config::default()).await;
    near.feed(message(1, "unflushed")).await.unwrap();
    near.close().await.unwrap();
    near.close().await.unwrap();
    assert!(matches!(near.send(message(1, "late")).await, Err(ConnectionError::Closed)));
    // What was fed before was flushed by the close.
    assert_eq!(far.next().await.unwrap().unwrap().payload, "unflushed");
    assert!(far.next().await.is_none());
    // The other direction is open still.
    far.send(message(2, "farewell")).await.unwrap();
    assert_eq!(near.next().await.unwrap().unwrap().payload, "farewell");
}

#[tokio::test]
async fn what_the_remote_said_can_be_read_after_a_write_has_failed() {
    let (mut near, mut far) = connected(1 << 20, &Config::default()).await;
    far.send(message(1, "too many peers")).await.unwrap();
    drop(far);
    let error = near.send(message(2, "ping")).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Io(_)), "{error}");
    assert!(matches!(near.flush().await, Err(ConnectionError::Closed)));
    assert!(matches!(near.send(message(2, "ping")).await, Err(ConnectionError::Closed)));
    assert_eq!(near.next().await.unwrap().unwrap().payload, "too many peers");
    assert!(near.next().await.is_none());
}

#[tokio::test]
async fn traffic_counts_every_byte_of_both_sides() {
    let (mut near, mut far) = connected(1 << 20, &Config::default()).await;
    assert_eq!(near.traffic().egress, far.traffic().ingress);
    assert_eq!(near.traffic().ingress, far.traffic().egress);
    let handshake = near.traffic().egress;
    assert!((382..=602).contains(&handshake), "{handshake}");
    near.feed(message(1, noise(100, 1))).await.unwrap();
    assert_eq!(near.traffic().egress, handshake, "counted when written");
    near.flush().await.unwrap();
    // 32 for the header, 112 for 101 bytes of body, 16 for its tag
    assert_eq!(near.traffic().egress, handshake + 160);
    far.next().await.unwrap().unwrap();
    assert_eq!(far.traffic().ingress, handshake + 160);
}

#[tokio::test]
async fn a_batch_is_one_write() {
    let (near, far) = tokio::io::duplex(1 << 20);
    let near = Counting { io: near, writes: 0 };
    let (mut near, mut far) = connected_over(near, far, &Config::default()).await;
    for id in 0..100 {
        near.feed(message(id, noise(100, 1))).await.unwrap();
    }
    near.flush().await.unwrap();
    for id in 0..100 {
        assert_eq!(far.next().await.unwrap().unwrap().id, id);
    }
    assert_eq!(near.into_parts().io.writes, 2, "the auth, and all the frames");
}

#[derive(Debug)]
struct Counting<Io> {
    io: Io,
    writes: usize,
}

impl<Io: AsyncRead + Unpin> AsyncRead for Counting<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Counting<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_full_buffer_is_back_pressure() {
    let (mut near, mut far) = connected(1024, &Config::default()).await;
    let mut fed = 0_u64;
    while near.feed(message(fed, noise(1024, 1))).now_or_never().is_some() {
        fed += 1;
    }
    // A frame has 1088 bytes; 64 KiB wait here, overshot by the last one, and 1 KiB in the pipe.
    assert_eq!(fed, 62);
    assert_eq!(near.traffic().egress, far.traffic().ingress + 1024);
    // The remote reads, and there is room again.
    let (fed_again, first) = tokio::join!(near.feed(message(fed, noise(1024, 1))), far.next());
    fed_again.unwrap();
    assert_eq!(first.unwrap().unwrap().id, 0);
    let reading = async {
        for id in 1..=fed {
            assert_eq!(far.next().await.unwrap().unwrap().id, id);
        }
    };
    let (flushed, ()) = tokio::join!(near.flush(), reading);
    flushed.unwrap();
}

#[tokio::test]
async fn dropped_flushes_and_sends_lose_nothing() {
    let (near, far) = tokio::io::duplex(50);
    let (near, far) = (Fragmented::new(near, &[9, 0, 23]), Fragmented::new(far, &[0, 31, 1]));
    let (mut near, mut far) = connected_over(near, far, &Config::default()).await;
    let sending = async {
        for id in 0..50 {
            let next = message(id, noise(id as usize * 7, 1));
            // Offered again and again until it is taken; taken means that it goes out, once.
            std::future::poll_fn(|cx| near.poll_ready_unpin(cx)).await.unwrap();
            near.start_send_unpin(next).unwrap();
            for _ in 0..3 {
                let _ = poll!(Box::pin(near.flush()));
            }
            tokio::task::yield_now().await;
        }
        near.close().await.unwrap();
    };
    let receiving = async {
        let mut received = 0;
        loop {
            // Dropped after a single poll, in whatever state.
            let Poll::Ready(item) = poll!(Box::pin(far.next())) else {
                tokio::task::yield_now().await;
                continue;
            };
            let Some(item) = item else {
                return received;
            };
            let item = item.unwrap();
            assert_eq!((item.id, item.payload), (received, noise(received as usize * 7, 1)));
            received += 1;
        }
    };
    assert_eq!(tokio::join!(sending, receiving).1, 50);
}

#[tokio::test]
async fn tcp_has_no_delay_and_the_sockets_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (config, remote, bob) = (Config::default(), key(2).public_key(), key(2));
    let (near, far) = tokio::join!(
        async {
            let stream = TcpStream::connect(address).await.unwrap();
            connect_tcp(stream, &key(1), &remote, &config).await.unwrap()
        },
        async {
            let (stream, _) = listener.accept().await.unwrap();
            accept_tcp(stream, &bob, &config).await.unwrap()
        }
    );
    assert_eq!(near.remote_addr(), Some(address));
    assert_eq!(far.local_addr(), Some(address));
    assert_eq!(near.local_addr(), far.remote_addr());
    assert!(near.into_parts().io.nodelay().unwrap());
    assert!(far.into_parts().io.nodelay().unwrap());
}

#[tokio::test]
async fn what_was_read_with_the_handshake_is_not_lost() {
    let (near, mut far) = sessions();
    let mut near = near.into_codec();
    let mut wire = BytesMut::new();
    near.seal(0, b"at once", &mut wire).unwrap();
    let before = far.traffic().ingress;
    far = sessions().1;
    let size = wire.len() as u64;
    let mut far = Connection::new(join(io::Cursor::new([]), sink()), far, wire, &Config::default());
    assert_eq!(far.next().await.unwrap().unwrap().payload, "at once");
    assert_eq!(far.traffic().ingress, before + size);
    assert!(far.next().await.is_none());
}

#[tokio::test]
async fn parts_carry_the_session_on() {
    let (mut near, mut far) = connected(1 << 20, &Config::default()).await;
    near.feed(message(1, "sealed, not written")).await.unwrap();
    let mut parts = near.into_parts();
    parts.codec.seal(2, b"sealed afterwards", &mut parts.write_buffer).unwrap();
    parts.io.write_all(&parts.write_buffer).await.unwrap();
    assert_eq!(far.next().await.unwrap().unwrap().payload, "sealed, not written");
    assert_eq!(far.next().await.unwrap().unwrap().payload, "sealed afterwards");
    drop(parts);
    assert!(tokio::time::timeout(Duration::from_secs(5), far.next()).await.unwrap().is_none());
}
