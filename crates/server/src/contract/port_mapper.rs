//! The suite of [`PortMapper`].
//!
//! Its clauses:
//!
//! - **tells**: of sockets that listen on all addresses it tells something, at least the address.
//! - **makes sense**: it speaks of the sockets that it has, each endpoint has the address that was
//!   told before and a port, and only what was mapped is lost.
//! - **leaves loopback alone**: who listens there does not want the world.
//! - **never ends**: not before the stop, whatever the sockets are.
//! - **wakes**: a task that waits for it is woken, and not all the time.
//! - **stop ends**: soon, at whatever moment, before the sockets are known too; and it stays at its
//!   end.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    task::Poll,
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{Report, Seen, Suite, ensure, seen};
use crate::{MappedSocket, PortEvent, PortMapper, SocketRole};

/// How long to watch it. An implementation may need a few seconds to find its gateway.
const WATCH: Duration = Duration::from_secs(15);

/// How long a server waits for the end.
const STOP: Duration = Duration::from_millis(1_600);

/// How often it may have a waiting task look in vain: several times a second.
const MANY: usize = 1_000;

/// Tries every clause. `mapper` makes one that has something to tell within 15 s.
pub async fn check(mapper: impl Fn() -> Box<dyn PortMapper>) -> Report {
    let mut suite = Suite::new("PortMapper");
    let make = &mapper;
    suite.clause("tells", tells(make)).await;
    suite.clause("makes sense", makes_sense(make)).await;
    suite.clause("leaves loopback alone", leaves_loopback(make)).await;
    suite.clause("never ends", never_ends(make)).await;
    suite.clause("wakes", wakes(make)).await;
    suite.clause("stop ends", stop_ends(make)).await;
    suite.report()
}

fn sockets(ip: Ipv4Addr) -> [MappedSocket; 3] {
    let socket = |role, port| MappedSocket::new(role, SocketAddr::from((ip, port)));
    [
        socket(SocketRole::Listener, 30_303),
        socket(SocketRole::Discovery, 30_303),
        socket(SocketRole::DiscoveryV5, 30_304),
    ]
}

fn started(make: impl Fn() -> Box<dyn PortMapper>, ip: Ipv4Addr) -> Box<dyn PortMapper> {
    let mut mapper = make();
    mapper.map(&sockets(ip));
    mapper
}

async fn tells(make: impl Fn() -> Box<dyn PortMapper>) -> Result<(), Seen> {
    let mut mapper = started(make, Ipv4Addr::UNSPECIFIED);
    let address = async {
        while let Some(event) = next(&mut mapper).await? {
            if matches!(event, PortEvent::Address(Some(_))) {
                return Ok(());
            }
        }
        seen("the end")
    };
    timeout(WATCH, address).await.unwrap_or_else(|_| seen("nothing"))
}

async fn makes_sense(make: impl Fn() -> Box<dyn PortMapper>) -> Result<(), Seen> {
    let mut mapper = started(make, Ipv4Addr::UNSPECIFIED);
    let mut ports = Ports::default();
    let watch = async {
        while let Some(event) = next(&mut mapper).await? {
            ports.hear(event)?;
        }
        Ok::<(), Seen>(())
    };
    timeout(WATCH, watch).await.unwrap_or(Ok(()))?;
    mapper.stop();
    let rest = async {
        while let Some(event) = next(&mut mapper).await? {
            ports.hear(event)?;
        }
        Ok(())
    };
    timeout(STOP, rest).await.unwrap_or(Ok(()))
}

async fn leaves_loopback(make: impl Fn() -> Box<dyn PortMapper>) -> Result<(), Seen> {
    let mut mapper = started(make, Ipv4Addr::LOCALHOST);
    let watch = async {
        while let Some(event) = next(&mut mapper).await? {
            if let PortEvent::Mapped { socket, .. } = event {
                return seen(format!("a mapping of {}", socket.address));
            }
        }
        Ok(())
    };
    timeout(WATCH, watch).await.unwrap_or(Ok(()))
}

async fn never_ends(make: impl Fn() -> Box<dyn PortMapper>) -> Result<(), Seen> {
    let three = [sockets(Ipv4Addr::UNSPECIFIED), sockets(Ipv4Addr::LOCALHOST)];
    for sockets in [&three[0][..], &three[1][..], &[]] {
        let mut mapper = make();
        mapper.map(sockets);
        let end = async {
            while next(&mut mapper).await?.is_some() {}
            seen(format!("the end, with {} sockets", sockets.len()))
        };
        timeout(WATCH, end).await.unwrap_or(Ok(()))?;
    }
    Ok(())
}

async fn wakes(make: impl Fn() -> Box<dyn PortMapper>) -> Result<(), Seen> {
    for gives_up in [false, true] {
        let mut mapper = started(&make, Ipv4Addr::UNSPECIFIED);
        // Who asks last is woken, and not the one before; unless that one was told all there is.
        if gives_up && poll_fn(|cx| Poll::Ready(mapper.poll_event(cx).is_ready())).await {
            continue;
        }
        // A timeout would poll it a last time itself.
        let woken = tokio::select! {
            biased;
            () = sleep(WATCH) => seen("who waits is not woken"),
            next = next(&mut mapper) => next.map(drop),
        };
        woken?;
    }
    Ok(())
}

async fn stop_ends(make: impl Fn() -> Box<dyn PortMapper>) -> Result<(), Seen> {
    for (when, wait) in [("at once", None), ("later", Some(WATCH))] {
        let mut mapper = started(&make, Ipv4Addr::UNSPECIFIED);
        if let Some(wait) = wait {
            let watch = async { while let Ok(Some(_)) = next(&mut mapper).await {} };
            // Until nothing more is told.
            let _ = timeout(wait, watch).await;
        }
        ends(&mut mapper, when).await?;
    }
    ends(&mut make(), "before it was begun").await
}

/// Stops it, and looks whether that is its end.
async fn ends(mapper: &mut Box<dyn PortMapper>, when: &str) -> Result<(), Seen> {
    mapper.stop();
    let end = async {
        while next(mapper).await?.is_some() {}
        Ok(())
    };
    let ended = timeout(STOP, end).await;
    ended.unwrap_or_else(|_| seen(format!("no end within {STOP:?}, when stopped {when}")))?;
    // It was at its end, and nobody is to wait for it again.
    let again = poll_fn(|cx| Poll::Ready(mapper.poll_event(cx))).await;
    ensure(again == Poll::Ready(None), || format!("after the end, {again:?}"))
}

/// What was told so far.
#[derive(Default)]
struct Ports {
    address: Option<IpAddr>,
    mapped: BTreeMap<MappedSocket, SocketAddr>,
}

impl Ports {
    fn hear(&mut self, event: PortEvent) -> Result<(), Seen> {
        let known = sockets(Ipv4Addr::UNSPECIFIED);
        match event {
            PortEvent::Address(address) => self.address = address,
            PortEvent::Lost(socket) => {
                let was_mapped = self.mapped.remove(&socket).is_some();
                ensure(was_mapped, || format!("{socket:?} is lost and was not mapped"))?;
            }
            PortEvent::Mapped { socket, external } => {
                ensure(known.contains(&socket), || {
                    format!("{socket:?}, of which it was not told")
                })?;
                let is_whole = Some(external.ip()) == self.address && external.port() != 0;
                ensure(is_whole, || format!("{external}, and the address is {:?}", self.address))?;
                self.mapped.insert(socket, external);
            }
        }
        Ok(())
    }
}

/// The next event. A mapper that has it polled all the time is given up: on paused time it would
/// keep the time from passing.
async fn next(mapper: &mut Box<dyn PortMapper>) -> Result<Option<PortEvent>, Seen> {
    let mut polls = 0_usize;
    poll_fn(|cx| {
        polls = polls.saturating_add(1);
        match mapper.poll_event(cx) {
            Poll::Ready(next) => Poll::Ready(Ok(next)),
            Poll::Pending if polls > MANY => Poll::Ready(seen("woken all the time, for nothing")),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
