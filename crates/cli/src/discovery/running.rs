use std::{
    io, mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use devp2p_core::{Family, Host, LocalRecord, Node, NodeKey, Rng};
use devp2p_discv5::{Missed, Row, Rows, Socket};
use devp2p_server::{FileNodeDb, NodeDb as _, Remembered};
use futures::{
    StreamExt as _,
    future::join_all,
    stream::{empty, select},
};
use tokio::{net::lookup_host, task::JoinHandle};
use tracing::warn;

use super::{Discovery, Events, Start, describe};
use crate::{
    args::DiscoveryArgs,
    clock,
    failure::Failure,
    key,
    output::{self, Line, Printer},
};

/// A running discovery, its socket and its database.
pub(super) struct Running<D> {
    pub(super) handle: D,
    pub(super) bootnodes: Vec<Node>,
    addr: SocketAddr,
    driver: JoinHandle<io::Result<()>>,
    events: Events,
    /// What is to be remembered.
    rows: Rows,
    memory: Option<FileNodeDb>,
    /// The number of our record, as it is remembered.
    seq: u64,
}

impl<D: Discovery> Running<D> {
    /// Starts it at this address, to begin with these nodes.
    pub(super) async fn start(
        args: &DiscoveryArgs,
        addr: SocketAddr,
        bootnodes: Vec<Node>,
    ) -> Result<Self, Failure> {
        let key = key::of(&args.key)?;
        let socket = Socket::bind(addr).map_err(|error| not_bound(addr, &error))?;
        let addr = socket.local_addr().map_err(Failure::work)?;
        let (memory, remembered) = match &args.search.nodedb {
            None => (None, Remembered::default()),
            Some(file) => {
                let memory = FileNodeDb::new(file);
                let opening = memory.open(key.id(), clock::unix().as_secs());
                let remembered = opening.await.map_err(|error| Failure::node_db(file, &error))?;
                (Some(memory), remembered)
            }
        };
        let local = local_record(&key, remembered.seq, addr)?;
        let seq = local.seq();
        if let Some(memory) = &memory {
            memory.write(devp2p_server::Row::LocalSeq(seq));
        }
        let seed = Rng::from_os().map_err(Failure::work)?.seed();
        let (local, seeds) = (Arc::new(Mutex::new(local)), remembered.seeds);
        let start = Start { socket, key, local, bootnodes: bootnodes.clone(), seeds, seed };
        let (handle, driver) = D::new(start);
        // Before it lives, so that nothing is missed.
        let (events, rows) = (handle.events(), handle.rows());
        let driver = tokio::spawn(driver);
        Ok(Self { handle, bootnodes, addr, driver, events, rows, memory, seq })
    }

    /// Has further lines for what happens.
    pub(super) fn add_events(&mut self, more: Events) {
        let events = mem::replace(&mut self.events, empty().boxed());
        self.events = select(events, more).boxed();
    }

    /// Prints the node itself: as text, its record.
    pub(super) fn print_ready(&self, printer: &Printer) -> Result<(), Failure> {
        let record = self.handle.local_record();
        if !printer.json {
            return output::line(&record);
        }
        let line = describe("ready", &Node::from_record(record));
        printer.print(&line.show("addr", self.addr).with("udp", self.addr.port()))
    }

    /// Remembers what is to be remembered, and prints what happens, until the discovery ends.
    /// Cancel-safe.
    pub(super) async fn watch(&mut self, printer: Option<&Printer>) -> Result<(), Failure> {
        loop {
            let line = tokio::select! {
                biased;
                Some(row) = self.rows.next() => {
                    self.remember(row);
                    continue;
                }
                event = self.events.next() => match event {
                    None => return Ok(()),
                    Some(Ok(line)) => {
                        if let Some(printer) = printer {
                            printer.print(&line)?;
                        }
                        self.changed_record()
                    }
                    Some(Err(Missed(count))) => Some(Line::new("missed").with("count", count)),
                },
            };
            if let (Some(line), Some(printer)) = (line, printer) {
                printer.print(&line)?;
            }
        }
    }

    /// Ends it, and writes what is still to be remembered.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        self.handle.close().await;
        while let Some(row) = self.rows.next().await {
            self.remember(row);
        }
        if let Some(memory) = &self.memory {
            memory.close().await;
        }
        match self.driver.await {
            Ok(result) => result.map_err(|error| Failure::work(format!("the socket: {error}"))),
            Err(error) => Err(Failure::work(error)),
        }
    }

    fn remember(&self, row: Result<Row, Missed>) {
        let Some(memory) = &self.memory else { return };
        match row {
            Ok(Row::Remember(seed)) => memory.write(devp2p_server::Row::Seed(seed)),
            Ok(Row::Forget(id)) => {
                memory.write(devp2p_server::Row::Forget { protocol: D::VERSION, id });
            }
            // A seed less.
            _ => {}
        }
    }

    /// The record, where a vote has changed it.
    fn changed_record(&mut self) -> Option<Line> {
        let record = self.handle.local_record();
        if record.seq() == self.seq {
            return None;
        }
        self.seq = record.seq();
        if let Some(memory) = &self.memory {
            memory.write(devp2p_server::Row::LocalSeq(self.seq));
        }
        Some(describe("record", &Node::from_record(record)))
    }
}

/// The nodes with the addresses that their names stand for, without those whose name stands for
/// none: a bootnode less.
pub(super) async fn with_addresses(nodes: Vec<Node>) -> Vec<Node> {
    let looked_up = join_all(nodes.into_iter().map(with_address)).await;
    let found = looked_up
        .into_iter()
        .filter_map(|node| node.inspect_err(|failure| warn!("a bootnode less: {failure}")).ok());
    found.collect()
}

/// The node with the address that its name stands for, where it has a name.
pub(super) async fn with_address(node: Node) -> Result<Node, Failure> {
    let Some(Host::Dns(name)) = node.host() else { return Ok(node) };
    let mut found = lookup_host((name.as_str(), 0))
        .await
        .map_err(|error| Failure::work(format!("cannot resolve {name}: {error}")))?;
    let addr = found.next().ok_or_else(|| Failure::work(format!("{name} has no address")))?;
    Ok(node.with_ip(addr.ip()))
}

fn local_record(key: &NodeKey, seq: Option<u64>, addr: SocketAddr) -> Result<LocalRecord, Failure> {
    let millis = u64::try_from(clock::unix().as_millis()).unwrap_or(u64::MAX);
    let mut local = LocalRecord::new(key.clone(), seq, millis).map_err(Failure::work)?;
    // geth's fallback: who listens everywhere can at least be reached from this machine.
    let (ip4, ip6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    let served = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![ip4],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![ip4, ip6],
        ip => vec![ip],
    };
    for ip in served {
        local.set_fallback_ip(ip);
        local.set_udp_port(Family::of(ip), Some(addr.port()));
    }
    Ok(local)
}

/// A taken port may be free the next time; an address of another machine is a wrong argument.
fn not_bound(addr: SocketAddr, error: &io::Error) -> Failure {
    let what = format!("cannot listen on {addr}: {error}");
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => Failure::arguments(what),
        _ => Failure::work(what),
    }
}
