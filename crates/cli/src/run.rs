//! `devp2p run`: one node, and a line for everything that happens to it.

use std::{collections::VecDeque, io};

use devp2p_core::{DiscoveryVersion, NodeId, NodeKey};
use devp2p_peer::{Direction, Protocol};
use devp2p_server::{Config, Event, Events, FileNodeDb, Handle, Server, StartError};
use tokio::sync::mpsc;
use tracing::info;

use crate::{
    args::RunArgs,
    clock,
    demo::Demo,
    eth::{Chain, Eth, Version},
    failure::Failure,
    interrupts::Interrupts,
    key,
    output::{self, Line, Printer, Reporter, WAITING_LINES, reporter},
    runtime::block_on,
};

/// Runs a node until a signal stops it.
pub(crate) fn run(args: RunArgs) -> Result<(), Failure> {
    if args.nodiscover
        && let Some(node) = args.static_nodes.iter().find(|node| node.host().is_none())
    {
        let why = "it has no address, and --nodiscover leaves nothing to find it";
        return Err(Failure::arguments(format!("--static {node}: {why}")));
    }
    let key = key::of(&args.key)?;
    block_on(serve(args, key))
}

async fn serve(args: RunArgs, key: NodeKey) -> Result<(), Failure> {
    // Before anything else, so that a signal during the start is not lost.
    let mut interrupts = Interrupts::new().map_err(Failure::work)?;
    let (reporter, reports) = reporter();
    let server = server(&args, key, &reporter)?;
    let mut feed = Feed { events: server.events(), reports, waiting: VecDeque::new() };
    // A disk that does not answer keeps the start waiting.
    let started = tokio::select! {
        biased;
        () = interrupts.next() => return Ok(()),
        started = server.start() => started,
    };
    let handle = started.map_err(|error| not_started(&args, error))?;
    let printer = Printer { json: args.json };
    print_ready(&printer, &handle)?;
    let result = tokio::select! {
        biased;
        () = interrupts.next() => Ok(()),
        result = feed.print(&printer) => result,
    };
    info!("Stopping");
    let (_, rest) = tokio::join!(handle.stop(), feed.print(&printer));
    result.and(rest)
}

/// A taken port may be free the next time; an address of another machine is a wrong argument.
fn not_started(args: &RunArgs, error: StartError) -> Failure {
    match (&error, &args.search.nodedb) {
        (
            StartError::Listen { error: cause, .. } | StartError::ListenUdp { error: cause, .. },
            _,
        ) if cause.kind() == io::ErrorKind::AddrNotAvailable => Failure::arguments(error),
        (StartError::NodeDb(error), Some(file)) => Failure::node_db(file, error),
        _ => Failure::work(error),
    }
}

fn server(args: &RunArgs, key: NodeKey, reporter: &Reporter) -> Result<Server, Failure> {
    let bootnodes = args.search.bootnodes(DiscoveryVersion::V4)?;
    let bootnodes_v5 = args.search.bootnodes(DiscoveryVersion::V5)?;
    let chain = args.chain(clock::unix())?;
    let mut builder = Server::builder(key).configure(|config| {
        config.bootstrap_nodes = bootnodes;
        config.bootstrap_nodes_v5 = bootnodes_v5;
        configure(config, args, chain, reporter);
    });
    if let Some(file) = &args.search.nodedb {
        builder = builder.node_db(FileNodeDb::new(file));
    }
    builder.build().map_err(Failure::arguments)
}

fn configure(config: &mut Config, args: &RunArgs, chain: Option<Chain>, reporter: &Reporter) {
    config.listen_addr = Some(args.addr);
    config.disc_addr = args.discaddr;
    config.no_discovery = args.nodiscover;
    config.discovery_v4 = args.discovery.has(DiscoveryVersion::V4);
    config.discovery_v5 = args.discovery.has(DiscoveryVersion::V5);
    config.max_peers = args.maxpeers.into();
    config.static_nodes.clone_from(&args.static_nodes);
    config.trusted_nodes.clone_from(&args.trusted_nodes);
    if let Some(name) = &args.name {
        config.name.clone_from(name);
    }
    let greeting = format!("hello from {}", config.name);
    config.protocols.push(Protocol::new(Demo::new(&greeting, reporter.clone())));
    if let Some(chain) = chain {
        for version in Version::ALL {
            config.protocols.push(Protocol::new(Eth::new(version, chain, reporter.clone())));
        }
    }
}

/// What there is to print, in an order that a reader can follow.
struct Feed {
    events: Events,
    reports: mpsc::Receiver<Line>,
    /// Reports that were taken out of the channel to find those of a peer that is gone.
    waiting: VecDeque<Line>,
}

impl Feed {
    /// Prints what happens until the server has stopped. Cancel-safe: a later call goes on.
    ///
    /// The server's events go first, so that a peer's `add` is printed before what its
    /// subprotocols report; and a peer's `drop` waits for what they had reported until then.
    async fn print(&mut self, printer: &Printer) -> Result<(), Failure> {
        loop {
            let line = tokio::select! {
                biased;
                event = self.events.next() => match event {
                    Some(event) => describe(event),
                    None => break,
                },
                Some(report) = next_report(&mut self.waiting, &mut self.reports) => Some(report),
            };
            let Some(line) = line else { continue };
            if line.is(DROP) {
                self.reports_of(line.peer()).iter().try_for_each(|it| printer.print(it))?;
            }
            printer.print(&line)?;
        }
        // What was reported before the stop. No subprotocol runs any more.
        while let Some(report) = self.waiting.pop_front().or_else(|| self.reports.try_recv().ok()) {
            printer.print(&report)?;
        }
        Ok(())
    }

    /// Takes out what one peer's subprotocols have reported so far.
    fn reports_of(&mut self, peer: Option<NodeId>) -> VecDeque<Line> {
        while self.waiting.len() < WAITING_LINES
            && let Ok(report) = self.reports.try_recv()
        {
            self.waiting.push_back(report);
        }
        let all = std::mem::take(&mut self.waiting);
        let (own, others) = all.into_iter().partition(|report| report.peer() == peer);
        self.waiting = others;
        own
    }
}

async fn next_report(
    waiting: &mut VecDeque<Line>,
    reports: &mut mpsc::Receiver<Line>,
) -> Option<Line> {
    match waiting.pop_front() {
        Some(report) => Some(report),
        None => reports.recv().await,
    }
}

/// The name of the event of a peer that is gone.
const DROP: &str = "drop";

/// Prints the node itself: as text, its enode URL and its record on a line each.
fn print_ready(printer: &Printer, handle: &Handle) -> Result<(), Failure> {
    let info = handle.node_info();
    let (enode, enr) = (info.enode.to_enode(), info.enr.to_string());
    if !printer.json {
        output::line(&enode)?;
        return output::line(&enr);
    }
    let line = Line::of_peer("ready", info.id)
        .with("enode", enode)
        .with("enr", enr)
        .show_some("addr", info.listen_addr)
        .with("port", info.listen_addr.map(|addr| addr.port()))
        .with("udp", info.disc_addr.map(|addr| addr.port()))
        .with("name", info.name);
    printer.print(&line)
}

/// The line for a server's event; none for those of messages, which are not asked for.
fn describe(event: Event) -> Option<Line> {
    let peer = |event, id: NodeId, direction: Direction| {
        Line::of_peer(event, id).with("inbound", direction == Direction::Inbound)
    };
    Some(match event {
        Event::Add(add) => {
            let caps: Vec<String> = add.shared.iter().map(ToString::to_string).collect();
            peer("add", add.id, add.direction)
                .show_some("addr", add.remote_addr)
                .with("caps", caps)
                .with("name", add.name)
        }
        Event::Drop(drop) => {
            let side = format!("{:?}", drop.side).to_lowercase();
            peer(DROP, drop.id, drop.direction)
                .with("seconds", (drop.duration.as_secs_f64() * 1e3).round() / 1e3)
                .with("code", drop.reason.code())
                .show("reason", drop.reason)
                .with("side", side)
                .with("error", drop.error)
        }
        Event::ListenerFailed { error } => Line::new("listener_failed").with("error", error),
        Event::DiscoveryFailed { error } => Line::new("discovery_failed").with("error", error),
        Event::Missed(count) => Line::new("missed").with("count", count),
        _ => return None,
    })
}
