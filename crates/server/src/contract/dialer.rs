//! The suite of [`Dialer`] and [`Listener`].
//!
//! Its clauses:
//!
//! - **a dialed stream is accepted**: bytes go both ways, at the address that the listener tells,
//!   and an accepted stream that says where it comes from tells the dialer's own address.
//! - **back-pressure**: a writer that nobody reads from is stopped within 64 MiB, and all bytes
//!   arrive in order once there is a reader.
//! - **end of stream**: after a shutdown the other end reads all that was written, then the end,
//!   and can still write.
//! - **error after close**: writing after the shutdown is an error.
//! - **a dropped end**: the other end reads an end or an error, and soon cannot write.
//! - **no address**: a node without one is `AddrNotAvailable`.
//! - **nobody listens**: dialing such an address is an error.
//! - **no answer**: dialing a node that never answers ends by itself.
//! - **a dropped dial closes**: what it had opened, and the next dial works.
//! - **accept loses nothing**: where polling is given up again and again, every one of many streams
//!   is accepted once.
//! - **a dropped listener**: closes what it had not handed out, and frees its address.
//! - **resolve ends**: with addresses or an error.

use std::{future::poll_fn, io, net::SocketAddr};

use devp2p_core::Node;
use futures::{
    FutureExt as _,
    future::{BoxFuture, join, join_all, try_join},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::yield_now,
    time::sleep,
};

use super::{QUIET, Report, Seen, Suite, ensure, key, node_at, quiet, seen};
use crate::{Dialer, Io, Listener};

/// Makes dialers and listeners that reach each other.
pub trait Network {
    /// Listens on this address, or on a free one.
    fn listen(
        &self,
        address: Option<SocketAddr>,
    ) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;

    /// A dialer.
    fn dialer(&self) -> Box<dyn Dialer>;

    /// A node that never answers, where there can be one. Should the dialer's deadline be long,
    /// its suite is best run on paused time.
    fn silent_node(&self) -> Option<Node> {
        None
    }
}

/// More than any stream may hold for a reader who does not come. Linux holds up to 10 MiB for TCP.
const TOO_MUCH: usize = 64 * 1024 * 1024;

/// How many streams are opened at once.
const MANY: usize = 8;

/// Tries every clause.
pub async fn check(network: &impl Network) -> Report {
    let mut suite = Suite::new("Dialer and Listener");
    suite.clause("a dialed stream is accepted", accepted(network)).await;
    suite.clause("back-pressure", back_pressure(network)).await;
    suite.clause("end of stream", end_of_stream(network)).await;
    suite.clause("error after close", error_after_close(network)).await;
    suite.clause("a dropped end", dropped_end(network)).await;
    suite.clause("no address", no_address(network)).await;
    suite.clause("nobody listens", nobody_listens(network)).await;
    if let Some(node) = network.silent_node() {
        suite.clause("no answer", no_answer(network, node)).await;
    }
    suite.clause("a dropped dial closes", dropped_dial(network)).await;
    suite.clause("accept loses nothing", accept_loses_nothing(network)).await;
    suite.clause("a dropped listener", dropped_listener(network)).await;
    suite.clause("resolve ends", resolve_ends(network)).await;
    suite.report()
}

async fn accepted(network: &impl Network) -> Result<(), Seen> {
    let mut listener = network.listen(None).await?;
    let address = listener.local_addr()?;
    ensure(address.port() != 0, || format!("the listener says it is at {address}"))?;
    let (mut dialed, mut accepted) = connect(network, &mut *listener).await?;
    exchange(&mut dialed, &mut accepted).await?;
    match (dialed.local_addr(), accepted.remote_addr()) {
        (Some(from), Some(seen_from)) => ensure(from == seen_from, || {
            format!("a stream from {from} was accepted as from {seen_from}")
        }),
        _ => Ok(()),
    }
}

async fn back_pressure(network: &impl Network) -> Result<(), Seen> {
    let mut listener = network.listen(None).await?;
    let (mut writer, mut reader) = connect(network, &mut *listener).await?;
    let pattern = Pattern::new();
    let mut written = 0;
    while let Some(more) = quiet(writer.write(pattern.at(written))).await {
        written = written.saturating_add(more?);
        ensure(written < TOO_MUCH, || format!("{written} bytes were taken, and nobody reads"))?;
    }
    let total = written.saturating_add(1024 * 1024);
    let write = async {
        while written < total {
            let chunk = pattern.at(written);
            let chunk = chunk.get(..total.saturating_sub(written)).unwrap_or(chunk);
            written = written.saturating_add(writer.write(chunk).await?);
        }
        writer.shutdown().await
    };
    let read = async {
        let (mut read, mut buffer) = (0_usize, vec![0; 64 * 1024]);
        loop {
            let more = reader.read(&mut buffer).await?;
            if more == 0 {
                return Ok::<usize, Seen>(read);
            }
            pattern.compare(read, buffer.get(..more).unwrap_or_default())?;
            read = read.saturating_add(more);
        }
    };
    let (wrote, read) = join(write, read).await;
    wrote?;
    let read = read?;
    ensure(read == total, || format!("{total} bytes were written, and {read} read"))
}

async fn end_of_stream(network: &impl Network) -> Result<(), Seen> {
    let mut listener = network.listen(None).await?;
    let (mut dialed, mut accepted) = connect(network, &mut *listener).await?;
    dialed.write_all(b"the last words").await?;
    dialed.shutdown().await?;
    let mut read = Vec::new();
    accepted.read_to_end(&mut read).await?;
    ensure(read == b"the last words", || format!("{} bytes before the end", read.len()))?;
    accepted.write_all(b"?").await?;
    let back = dialed.read_u8().await?;
    ensure(back == b'?', || "the other direction does not go on".to_owned())
}

async fn error_after_close(network: &impl Network) -> Result<(), Seen> {
    let mut listener = network.listen(None).await?;
    let (mut dialed, _accepted) = connect(network, &mut *listener).await?;
    dialed.shutdown().await?;
    let wrote = dialed.write(b"more").await;
    ensure(wrote.is_err(), || "bytes are taken after the shutdown".to_owned())
}

async fn dropped_end(network: &impl Network) -> Result<(), Seen> {
    let mut listener = network.listen(None).await?;
    let (mut dialed, accepted) = connect(network, &mut *listener).await?;
    drop(accepted);
    ensure_closed(&mut dialed).await?;
    // It takes a moment until the writing side knows.
    while dialed.write(b"anybody there?").await.is_ok() {
        sleep(QUIET).await;
    }
    Ok(())
}

async fn no_address(network: &impl Network) -> Result<(), Seen> {
    let node = Node::new(key(1)?.public_key(), None, 0, 0);
    match network.dialer().dial(&node).await {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(()),
        Err(error) => seen(format!("the error is {:?}", error.kind())),
        Ok(io) => seen(format!("a stream: {io:?}")),
    }
}

async fn nobody_listens(network: &impl Network) -> Result<(), Seen> {
    let listener = network.listen(None).await?;
    let node = node_at(key(1)?.public_key(), listener.local_addr()?);
    drop(listener);
    match network.dialer().dial(&node).await {
        Err(_) => Ok(()),
        Ok(io) => seen(format!("a stream: {io:?}")),
    }
}

async fn no_answer(network: &impl Network, node: Node) -> Result<(), Seen> {
    match network.dialer().dial(&node).await {
        Err(_) => Ok(()),
        Ok(io) => seen(format!("a stream: {io:?}")),
    }
}

async fn dropped_dial(network: &impl Network) -> Result<(), Seen> {
    let mut listener = network.listen(None).await?;
    let node = node_at(key(1)?.public_key(), listener.local_addr()?);
    let mut dial = network.dialer().dial(&node);
    // It may have opened a stream by now, and may even be done.
    let outcome = dial.as_mut().now_or_never();
    drop((dial, outcome));
    // Who is left behind at the other end hears of it.
    while let Some(accepted) = quiet(accept(&mut *listener)).await {
        ensure_closed(&mut accepted?).await?;
    }
    let (mut dialed, mut accepted) = connect(network, &mut *listener).await?;
    exchange(&mut dialed, &mut accepted).await
}

async fn accept_loses_nothing(network: &impl Network) -> Result<(), Seen> {
    let mut listener = network.listen(None).await?;
    let node = node_at(key(1)?.public_key(), listener.local_addr()?);
    let dialer = network.dialer();
    let dials = async {
        let mut streams = Vec::new();
        for io in join_all((0..MANY).map(|_| dialer.dial(&node))).await {
            streams.push(io?);
        }
        for (tag, stream) in (0_u8..).zip(&mut streams) {
            stream.write_u8(tag).await?;
            stream.flush().await?;
        }
        Ok(streams)
    };
    let accepts = async {
        let mut tags = Vec::new();
        while tags.len() < MANY {
            // Each of these futures is polled once and dropped.
            match accept(&mut *listener).now_or_never() {
                Some(io) => tags.push(io?),
                None => sleep(QUIET / 30).await,
            }
        }
        Ok::<_, io::Error>(tags)
    };
    let (dialed, accepted) = join(dials, accepts).await;
    let _dialed: Vec<Io> = dialed.map_err(|error: io::Error| Seen(error.to_string()))?;
    let mut tags = Vec::new();
    for mut stream in accepted? {
        tags.push(stream.read_u8().await?);
    }
    tags.sort_unstable();
    let expected: Vec<u8> = (0..).take(MANY).collect();
    ensure(tags == expected, || format!("of {MANY} streams these came: {tags:?}"))?;
    ensure(quiet(accept(&mut *listener)).await.is_none(), || "one stream too many".to_owned())
}

async fn dropped_listener(network: &impl Network) -> Result<(), Seen> {
    let listener = network.listen(None).await?;
    let address = listener.local_addr()?;
    let node = node_at(key(1)?.public_key(), address);
    let waiting = quiet(network.dialer().dial(&node)).await;
    drop(listener);
    // A dial that was not through yet may fail.
    if let Some(Ok(mut waiting)) = waiting {
        ensure_closed(&mut waiting).await?;
    }
    let mut again = network.listen(Some(address)).await?;
    ensure(again.local_addr()? == address, || "the address is another".to_owned())?;
    let (mut dialed, mut accepted) = connect(network, &mut *again).await?;
    exchange(&mut dialed, &mut accepted).await
}

async fn resolve_ends(network: &impl Network) -> Result<(), Seen> {
    // A dialer that leaves names to a proxy may refuse.
    match network.dialer().resolve("localhost").await {
        Ok(found) => ensure(found.iter().all(|ip| ip.is_loopback()), || {
            format!("localhost is said to be {found:?}")
        }),
        Err(_) => Ok(()),
    }
}

/// A dialed stream and the same one as accepted.
async fn connect(network: &impl Network, listener: &mut dyn Listener) -> Result<(Io, Io), Seen> {
    let node = node_at(key(1)?.public_key(), listener.local_addr()?);
    Ok(try_join(network.dialer().dial(&node), accept(listener)).await?)
}

async fn accept(listener: &mut dyn Listener) -> io::Result<Io> {
    poll_fn(|cx| listener.poll_accept(cx)).await
}

async fn exchange(left: &mut Io, right: &mut Io) -> Result<(), Seen> {
    left.write_all(b"ping").await?;
    left.flush().await?;
    right.write_all(b"pong").await?;
    right.flush().await?;
    let (mut at_right, mut at_left) = ([0; 4], [0; 4]);
    right.read_exact(&mut at_right).await?;
    left.read_exact(&mut at_left).await?;
    ensure(at_right == *b"ping" && at_left == *b"pong", || {
        format!("ping and pong arrived as {at_right:?} and {at_left:?}")
    })
}

/// An end or an error is all that may be read.
async fn ensure_closed(stream: &mut Io) -> Result<(), Seen> {
    yield_now().await;
    match stream.read_u8().await {
        Err(_) => Ok(()),
        Ok(byte) => seen(format!("the byte {byte:#x}")),
    }
}

/// Bytes that tell where they belong.
struct Pattern(Vec<u8>);

impl Pattern {
    /// A prime, so that a shift by any power of two shows.
    const PERIOD: usize = 251;

    fn new() -> Self {
        Self((0_u8..251).cycle().take(Self::PERIOD * 256).collect())
    }

    /// The bytes at a position of the stream and beyond.
    fn at(&self, position: usize) -> &[u8] {
        self.0.get(position % Self::PERIOD..).unwrap_or_default()
    }

    fn compare(&self, position: usize, read: &[u8]) -> Result<(), Seen> {
        let mut position = position;
        for chunk in read.chunks(Self::PERIOD) {
            let expected = self.at(position).get(..chunk.len());
            ensure(expected == Some(chunk), || format!("other bytes around {position}"))?;
            position = position.saturating_add(chunk.len());
        }
        Ok(())
    }
}
