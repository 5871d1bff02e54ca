//! `devp2p run`: one node, and a line for everything that happens to it.

use std::{collections::VecDeque, io};

use devp2p_core::{NodeId, NodeKey};
use devp2p_peer::{Direction, Protocol};
use devp2p_server::{Builder, Event, Events, FileNodeDb, Handle, Server, StartError};
use tokio::sync::mpsc;
use tracing::info;

use crate::{
    clock,
    config::{self, Datadir, RunArgs, Settings},
    demo::Demo,
    eth::{self, Chain, Eth, Version},
    failure::Failure,
    interrupts::Interrupts,
    key, metrics,
    output::{self, Line, Printer, Reporter, WAITING_LINES, reporter},
    rpc,
    runtime::block_on,
};

/// Runs a node until a signal stops it.
pub(crate) fn run(args: RunArgs) -> Result<(), Failure> {
    let is_dump = args.dump_config;
    let settings = config::load(args, std::env::vars_os())?;
    let chain = settings.chain(clock::unix())?;
    if is_dump {
        return output::text(&config::dump(settings));
    }
    let (settings, key) = with_datadir(settings)?;
    if settings.no_discovery
        && let Some(node) = settings.static_nodes.iter().find(|node| node.host().is_none())
    {
        let why = "it has no address, and --nodiscover leaves nothing to find it";
        return Err(Failure::arguments(format!("--static {node}: {why}")));
    }
    block_on(serve(settings, key, chain))
}

/// The settings with what is in the folder of the node, and its key.
fn with_datadir(mut settings: Settings) -> Result<(Settings, NodeKey), Failure> {
    let told = key::told(&settings.key)?;
    let Some(datadir) = settings.datadir.as_deref().map(Datadir::open).transpose()? else {
        return Ok((settings, told.map_or_else(key::fresh, Ok)?));
    };
    datadir.add_static_nodes(&mut settings.static_nodes)?;
    datadir.add_trusted_nodes(&mut settings.trusted_nodes)?;
    if settings.node_database.is_none() {
        settings.node_database = Some(datadir.node_database()?);
    }
    let key = told.map_or_else(|| datadir.key(), Ok)?;
    Ok((settings, key))
}

async fn serve(settings: Settings, key: NodeKey, chain: Option<Chain>) -> Result<(), Failure> {
    // Before anything else, so that a signal during the start is not lost.
    let mut interrupts = Interrupts::new().map_err(Failure::work)?;
    let (reporter, reports) = reporter();
    let builder = builder(&settings, key, chain, &reporter)?;
    let (builder, metrics) = match settings.metrics() {
        Some(options) => {
            let (recorder, running) = metrics::start(options).await?;
            (builder.metrics(recorder), Some(running))
        }
        None => (builder, None),
    };
    let server = builder.build().map_err(Failure::arguments)?;
    let mut feed = Feed { events: server.events(), reports, waiting: VecDeque::new() };
    // A disk that does not answer keeps the start waiting.
    let started = tokio::select! {
        biased;
        () = interrupts.next() => return Ok(()),
        started = server.start() => started,
    };
    let handle = started.map_err(|error| not_started(&settings, error))?;
    let node = rpc::Node::new(handle.clone(), settings.datadir.clone());
    let rpc = match rpc::start(settings.rpc(), node).await {
        Ok(rpc) => rpc,
        Err(failure) => {
            handle.stop().await;
            return Err(failure);
        }
    };
    let printer = Printer { json: settings.json };
    let result = match print_ready(&printer, &handle, metrics.as_ref(), &rpc) {
        Ok(()) => tokio::select! {
            biased;
            () = interrupts.next() => Ok(()),
            result = feed.print(&printer) => result,
        },
        // Nobody reads. What was begun is ended as at any other stop.
        failed => failed,
    };
    info!("Stopping");
    let (_, rest) = tokio::join!(handle.stop(), feed.print(&printer));
    rpc.stop().await;
    if let Some(metrics) = metrics {
        metrics.stop().await;
    }
    result.and(rest)
}

/// A taken port may be free the next time; an address of another machine is a wrong argument.
fn not_started(settings: &Settings, error: StartError) -> Failure {
    match (&error, &settings.node_database) {
        (
            StartError::Listen { error: cause, .. } | StartError::ListenUdp { error: cause, .. },
            _,
        ) if cause.kind() == io::ErrorKind::AddrNotAvailable => Failure::arguments(error),
        (StartError::NodeDb(error), Some(file)) => Failure::node_db(file, error),
        _ => Failure::work(error),
    }
}

fn builder(
    settings: &Settings,
    key: NodeKey,
    chain: Option<Chain>,
    reporter: &Reporter,
) -> Result<Builder, Failure> {
    let mut config = settings.config(key.clone())?;
    let greeting = format!("hello from {}", config.name);
    config.protocols.push(Protocol::new(Demo::new(&greeting, reporter.clone())));
    if let Some(chain) = chain {
        config.dial_filter = Some(eth::dial_filter(chain));
        for version in Version::ALL {
            config.protocols.push(Protocol::new(Eth::new(version, chain, reporter.clone())));
        }
    }
    let builder = Server::builder(key).configure(|it| *it = config);
    Ok(match &settings.node_database {
        Some(file) => builder.node_db(FileNodeDb::new(file)),
        None => builder,
    })
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
fn print_ready(
    printer: &Printer,
    handle: &Handle,
    metrics: Option<&metrics::Running>,
    rpc: &rpc::Running,
) -> Result<(), Failure> {
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
        .with("name", info.name)
        .show_some("metrics", metrics.map(metrics::Running::addr))
        .show_some("http", rpc.http())
        .show_some("ws", rpc.ws())
        .show_some("ipc", rpc.ipc().map(|path| path.display()));
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
