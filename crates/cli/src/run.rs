//! `devp2p run`: one node, and a line for everything that happens to it.

use std::{collections::VecDeque, io};

use devp2p_core::{NodeId, NodeKey};
use devp2p_peer::{Direction, Protocol};
use devp2p_server::{Config, Event, Events, Handle, Server, StartError};
use tokio::sync::mpsc;
use tracing::info;

use crate::{
    args::{EthArgs, RunArgs},
    demo::Demo,
    eth::{Chain, Eth, Version},
    failure::Failure,
    key,
    output::{self, Line, Reporter, WAITING_LINES, reporter},
};

/// Runs a node until a signal stops it.
pub(crate) fn run(args: RunArgs) -> Result<(), Failure> {
    let key = match (&args.nodekey, &args.nodekeyhex) {
        (Some(file), _) => key::load(file)?,
        (None, Some(digits)) => NodeKey::from_hex(digits)
            .map_err(|error| Failure::arguments(format!("--nodekeyhex: {error}")))?,
        (None, None) => key::fresh()?,
    };
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::work)?;
    runtime.block_on(serve(args, key))
}

async fn serve(args: RunArgs, key: NodeKey) -> Result<(), Failure> {
    // Before anything else, so that a signal during the start is not lost.
    let mut interrupts = Interrupts::new().map_err(Failure::work)?;
    let (reporter, reports) = reporter();
    let server = Server::from_config(config(&args, key, &reporter)).map_err(Failure::arguments)?;
    let mut feed = Feed { events: server.events(), reports, waiting: VecDeque::new() };
    let handle = server.start().await.map_err(not_started)?;
    let printer = Printer { json: args.json };
    printer.ready(&handle)?;
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
fn not_started(error: StartError) -> Failure {
    match &error {
        StartError::Listen { error: cause, .. }
            if cause.kind() == io::ErrorKind::AddrNotAvailable =>
        {
            Failure::arguments(error)
        }
        _ => Failure::work(error),
    }
}

fn config(args: &RunArgs, key: NodeKey, reporter: &Reporter) -> Config {
    let mut config = Config::new(key);
    config.listen_addr = Some(args.addr);
    config.max_peers = args.maxpeers.into();
    config.static_nodes.clone_from(&args.static_nodes);
    config.trusted_nodes.clone_from(&args.trusted_nodes);
    if let Some(name) = &args.name {
        config.name.clone_from(name);
    }
    let greeting = format!("hello from {}", config.name);
    config.protocols.push(Protocol::new(Demo::new(&greeting, reporter.clone())));
    if let Some(EthArgs { network_id, genesis, fork_id }) = args.eth {
        for version in Version::ALL {
            let chain = Chain { network_id, genesis, fork_id };
            config.protocols.push(Protocol::new(Eth::new(version, chain, reporter.clone())));
        }
    }
    config
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

struct Printer {
    json: bool,
}

impl Printer {
    /// The node itself: as text, its enode URL and its record on a line each.
    fn ready(&self, handle: &Handle) -> Result<(), Failure> {
        let info = handle.node_info();
        let (enode, enr) = (info.enode.to_enode(), info.enr.to_string());
        if !self.json {
            output::line(&enode)?;
            return output::line(&enr);
        }
        let line = Line::of_peer("ready", info.id)
            .with("enode", enode)
            .with("enr", enr)
            .show_some("addr", info.listen_addr)
            .with("port", info.listen_addr.map(|addr| addr.port()))
            .with("name", info.name);
        self.print(&line)
    }

    fn print(&self, line: &Line) -> Result<(), Failure> {
        if self.json { output::line(&line.to_json()) } else { output::line(line) }
    }
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
        Event::Missed(count) => Line::new("missed").with("count", count),
        _ => return None,
    })
}

/// The signals that ask the program to stop.
struct Interrupts {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Interrupts {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Ends when one has come. Cancel-safe.
    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        // Without a handler the signal ends the program, which is all that is left to do.
        let _ = tokio::signal::ctrl_c().await;
    }
}
