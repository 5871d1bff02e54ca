//! `devp2p discv4` and `devp2p discv5`: node discovery alone, without a server. What is not JSON is
//! as geth's `devp2p discv4` prints it.

mod ask;
mod running;
pub(crate) mod v4;
pub(crate) mod v5;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use devp2p_core::{DiscoveryVersion, Family, LocalRecord, Node, NodeKey, PublicKey, Record, Seed};
use devp2p_discv5::{Missed, Rows, Socket};
use futures::{future::BoxFuture, stream::BoxStream};

use self::running::{Running, with_addresses};
use crate::{
    args::ListenArgs,
    failure::Failure,
    interrupts::Interrupts,
    output::{Line, Printer},
};

/// A handle to a discovery of one version: what is alike in both.
trait Discovery: Sized {
    /// The version.
    const VERSION: DiscoveryVersion;

    /// Makes it, and gives the future that is its life.
    fn new(start: Start) -> (Self, BoxFuture<'static, io::Result<()>>);

    /// What it sees from now on, a line each.
    fn events(&self) -> Events;

    /// What it wants remembered, from now on.
    fn rows(&self) -> Rows;

    /// Our own record, as it is now.
    fn local_record(&self) -> Record;

    /// Ends it.
    async fn close(&self);

    /// Sends PING, and gives the time to the answer.
    async fn ping(&self, node: &Node) -> Result<Duration, Unanswered>;

    /// Asks a node for its record.
    async fn request_enr(&self, node: &Node) -> Result<Record, Unanswered>;

    /// Looks for a node among others.
    async fn resolve(&self, key: PublicKey) -> Result<Option<Node>, Unanswered>;
}

/// Lines for events, or how many of those were lost.
type Events = BoxStream<'static, Result<Line, Missed>>;

/// What a discovery starts with.
struct Start {
    socket: Socket,
    key: NodeKey,
    local: Arc<Mutex<LocalRecord>>,
    bootnodes: Vec<Node>,
    seeds: Vec<Seed>,
    /// Of what is random.
    seed: [u8; 32],
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
enum Unanswered {
    /// What was asked for cannot be.
    Arguments(String),
    /// The discovery has ended.
    Closed,
    /// It came to nothing.
    Failed(String),
    /// There was none, so far.
    Silence,
}

/// Runs a node until a signal stops it. `serve` may begin something
/// more that it does, and gives the lines for that.
async fn listen<D: Discovery>(
    args: ListenArgs,
    serve: impl AsyncFnOnce(&D) -> Option<Events>,
) -> Result<(), Failure> {
    // Before anything else, so that a signal during the start is not lost.
    let mut interrupts = Interrupts::new().map_err(Failure::work)?;
    let ListenArgs { events, discovery: args } = args;
    let start = async {
        let bootnodes = with_addresses(args.search.bootnodes(D::VERSION)?).await;
        let addr = args.addr.unwrap_or_else(|| addr_to_reach(None, &bootnodes));
        let mut running = Running::start(&args, addr, bootnodes).await?;
        if let Some(more) = serve(&running.handle).await {
            running.add_events(more);
        }
        Ok(running)
    };
    // A disk that does not answer keeps the start waiting, as does who looks up names.
    let started = tokio::select! {
        biased;
        () = interrupts.next() => return Ok(()),
        started = start => started,
    };
    let mut running = started?;
    let printer = Printer { json: args.json };
    let result = match running.print_ready(&printer) {
        Ok(()) => tokio::select! {
            biased;
            () = interrupts.next() => Ok(()),
            result = running.watch((events || args.json).then_some(&printer)) => result,
        },
        Err(failure) => Err(failure),
    };
    let stopped = running.stop().await;
    result.and(stopped)
}

/// Every address of the machine, and a free port, from which this node can be reached: or else,
/// where it has no address, one of the others.
fn addr_to_reach(node: Option<SocketAddr>, others: &[Node]) -> SocketAddr {
    let mut others = others.iter().filter_map(Node::udp_addr).peekable();
    let is_v6 = match node {
        Some(to) => to.is_ipv6(),
        // A machine without IPv6 still has the others.
        None => others.peek().is_some() && others.all(|to| to.is_ipv6()),
    };
    if is_v6 { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() }
}

/// Whether a socket at this address has the IP version to send there.
fn reaches(addr: SocketAddr, to: SocketAddr) -> bool {
    // Every address of IPv6 is every address of IPv4 too.
    addr.ip() == Ipv6Addr::UNSPECIFIED || Family::of(addr.ip()) == Family::of(to.ip())
}

/// An event about a node, with all that is known of it.
fn describe(event: &'static str, node: &Node) -> Line {
    Line::of_peer(event, node.id())
        .with("enode", node.to_enode())
        .with("enr", node.to_enr())
        .with("seq", node.record().map(Record::seq))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_of_the_ip_version_of_the_node() {
        let key = crate::key::fresh().unwrap().public_key();
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let others = |list: &[&str]| -> Vec<Node> {
            let nodes = list.iter().map(|text| format!("enode://{key}@{text}").parse().unwrap());
            nodes.collect()
        };
        let (v4, v6) = ("192.0.2.1:1", "[2001:db8::1]:1");
        for (node, list, expected) in [
            (None, &[][..], "0.0.0.0:0"),
            (Some(v4), &[v6], "0.0.0.0:0"),
            (Some(v6), &[v4], "[::]:0"),
            (None, &[v4, v6], "0.0.0.0:0"),
            (None, &[v6, v6], "[::]:0"),
        ] {
            let found = addr_to_reach(node.map(addr), &others(list));
            assert_eq!(found, addr(expected), "{node:?} {list:?}");
            assert!(node.is_none_or(|node| reaches(found, addr(node))));
        }
        for (from, to, expected) in [
            ("0.0.0.0:0", v6, false),
            ("127.0.0.1:0", v4, true),
            ("[::1]:0", v4, false),
            ("[::]:0", v4, true),
        ] {
            assert_eq!(reaches(addr(from), addr(to)), expected, "{from} {to}");
        }
    }
}
