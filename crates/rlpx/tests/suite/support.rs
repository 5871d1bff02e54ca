//! What the tests share: keys, sessions without the network, and streams that behave badly.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use devp2p_core::{Message, NodeKey, Rng};
use devp2p_rlpx::{
    Config, Connection, FrameCodec, Handshake, Secrets, Session, accept, connect,
    keccak::{Backend, Keccak256},
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use zeroize::Zeroizing;

pub(crate) fn key(byte: u8) -> NodeKey {
    NodeKey::from_bytes(&[byte; 32]).unwrap()
}

pub(crate) fn message(id: u64, payload: impl Into<Bytes>) -> Message {
    Message { id, payload: payload.into() }
}

/// Bytes that look random and differ from one `seed` to the next.
pub(crate) fn noise(length: usize, seed: u8) -> Bytes {
    let mut bytes = vec![0; length];
    Rng::from_seed([seed; 32]).fill(&mut bytes);
    bytes.into()
}

/// The codecs of two sides, without a handshake.
pub(crate) fn codecs() -> (FrameCodec, FrameCodec) {
    let hash = |text: &[u8]| {
        let mut hash = Keccak256::new(Backend::detect());
        hash.update(text);
        hash
    };
    let secrets = |egress: &[u8], ingress: &[u8]| Secrets {
        aes: Zeroizing::new([1; 32]),
        mac: Zeroizing::new([2; 32]),
        egress: hash(egress),
        ingress: hash(ingress),
    };
    let (a, b) = (secrets(b"from a", b"from b"), secrets(b"from b", b"from a"));
    (FrameCodec::new(&a), FrameCodec::new(&b))
}

/// [`codecs`] after both Hellos.
pub(crate) fn established(max_message_size: usize, snappy: bool) -> (FrameCodec, FrameCodec) {
    let (mut a, mut b) = codecs();
    a.established(max_message_size, snappy);
    b.established(max_message_size, snappy);
    (a, b)
}

/// Both sides of a handshake without the network.
pub(crate) fn sessions() -> (Session, Session) {
    let mut dialer = Handshake::initiator(&key(1), &key(2).public_key(), Rng::from_seed([3; 32]));
    let mut listener = Handshake::recipient(&key(2), Rng::from_seed([4; 32]));
    let auth = dialer.poll_transmit().unwrap();
    listener = listener.handle_input(&mut BytesMut::from(auth)).unwrap();
    let ack = listener.poll_transmit().unwrap();
    dialer = dialer.handle_input(&mut BytesMut::from(ack)).unwrap();
    (dialer.into_session().unwrap(), listener.into_session().unwrap())
}

/// Two connections over a pipe that holds `size` bytes each way.
pub(crate) async fn connected(
    size: usize,
    config: &Config,
) -> (Connection<DuplexStream>, Connection<DuplexStream>) {
    let (near, far) = duplex(size);
    connected_over(near, far, config).await
}

pub(crate) async fn connected_over<A, B>(
    near: A,
    far: B,
    config: &Config,
) -> (Connection<A>, Connection<B>)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (dialer, listener) = (key(1), key(2));
    let remote = listener.public_key();
    let (near, far) =
        tokio::join!(connect(near, &dialer, &remote, config), accept(far, &listener, config));
    (near.unwrap(), far.unwrap())
}

/// A stream that moves as many bytes at a time as a list says, over and over; 0 stands for a
/// call that has to be repeated.
#[derive(Debug)]
pub(crate) struct Fragmented<Io> {
    io: Io,
    sizes: VecDeque<usize>,
}

impl<Io> Fragmented<Io> {
    pub(crate) fn new(io: Io, sizes: &[usize]) -> Self {
        Self { io, sizes: sizes.iter().copied().collect() }
    }

    fn next_size(&mut self) -> usize {
        self.sizes.rotate_left(1);
        self.sizes.back().copied().unwrap_or(1)
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Fragmented<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.next_size();
        if size == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut piece = vec![0; size.min(into.remaining())];
        let mut piece = ReadBuf::new(&mut piece);
        let poll = Pin::new(&mut self.io).poll_read(cx, &mut piece);
        into.put_slice(piece.filled());
        poll
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Fragmented<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let size = self.next_size();
        if size == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = &bytes[..size.min(bytes.len())];
        Pin::new(&mut self.io).poll_write(cx, piece)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
