use std::time::Duration;

use devp2p_core::Node;
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use super::{
    Discovery, Unanswered, addr_to_reach, describe, reaches,
    running::{Running, with_address, with_addresses},
};
use crate::{
    args::{AskArgs, AskCommand},
    failure::Failure,
    output::{self, Line},
};

/// The pause before the same is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Runs one of the commands that both versions have.
pub(super) async fn run<D: Discovery>(command: AskCommand) -> Result<(), Failure> {
    match command {
        AskCommand::Ping(args) => ask::<D, _>(Ping, args).await,
        AskCommand::RequestEnr(args) => ask::<D, _>(RequestEnr, args).await,
        AskCommand::Resolve(args) => ask::<D, _>(Resolve, args).await,
    }
}

/// What is asked about a node.
pub(super) trait Question<D: Discovery> {
    /// What has failed where there is no answer: in geth's words, where it has some.
    const FAILED: &'static str;

    /// Why, where nobody says anything.
    const SILENCE: &'static str = "no answer in time";

    /// Whether it can be asked of others than the node.
    const IS_FOR_OTHERS: bool = false;

    /// Asks once.
    async fn ask(&self, running: &Running<D>, node: &Node) -> Result<Answer, Unanswered>;
}

/// An answer, as it is printed.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) line: Line,
}

/// Asks, and prints the answer.
pub(super) async fn ask<D: Discovery, Q: Question<D>>(
    question: Q,
    args: AskArgs,
) -> Result<(), Failure> {
    let AskArgs { node, timeout, discovery: args } = args;
    let node = with_address(node).await?;
    let known = args.search.bootnodes(D::VERSION)?;
    let bootnodes = with_addresses(known.clone()).await;
    let addr = args.addr.unwrap_or_else(|| addr_to_reach(node.udp_addr(), &bootnodes));
    let may_ask_others = Q::IS_FOR_OTHERS
        && (args.search.nodedb.is_some()
            || bootnodes.iter().filter_map(Node::udp_addr).any(|to| reaches(addr, to)));
    match node.udp_addr() {
        Some(to) if !may_ask_others && !reaches(addr, to) => {
            let why = format!("--addr {addr} is not of the IP version of {to}");
            return Err(Failure::arguments(format!("{node}: {why}")));
        }
        None if Q::IS_FOR_OTHERS && !may_ask_others => {
            let why = "the node has no UDP endpoint";
            return Err(if known.is_empty() {
                let why = format!("{why}, and there are no --bootnodes to ask for it");
                Failure::arguments(format!("{node}: {why}"))
            } else {
                Failure::work(format!("{node}: {why}, and no bootnode can be asked for it"))
            });
        }
        _ => {}
    }
    let running = Running::<D>::start(&args, addr, bootnodes).await?;
    let answer = match timeout {
        0 => question.ask(&running, &node).await,
        seconds => ask_until(&question, &running, &node, Duration::from_secs(seconds.into())).await,
    };
    let stopped = running.stop().await;
    let failed = |why: &str| Failure::work(format!("{}: {why}", Q::FAILED));
    match answer {
        Ok(answer) if args.json => output::line(&answer.line.to_json()).and(stopped),
        Ok(answer) => output::line(&answer.text).and(stopped),
        Err(Unanswered::Arguments(why)) => Err(Failure::arguments(format!("{node}: {why}"))),
        Err(Unanswered::Closed) => Err(stopped.err().unwrap_or_else(|| failed("closed"))),
        Err(Unanswered::Failed(why)) => Err(failed(&why)),
        Err(Unanswered::Silence) => Err(failed(Q::SILENCE)),
    }
}

/// Asks again and again.
async fn ask_until<D: Discovery>(
    question: &impl Question<D>,
    running: &Running<D>,
    node: &Node,
    limit: Duration,
) -> Result<Answer, Unanswered> {
    let asking = async {
        loop {
            match question.ask(running, node).await {
                Err(Unanswered::Silence) => sleep(RETRY_PAUSE).await,
                result => return result,
            }
        }
    };
    timeout(limit, asking).await.unwrap_or(Err(Unanswered::Silence))
}

struct Ping;

impl<D: Discovery> Question<D> for Ping {
    const FAILED: &'static str = "node didn't respond";

    async fn ask(&self, running: &Running<D>, node: &Node) -> Result<Answer, Unanswered> {
        let rtt = running.handle.ping(node).await?;
        let micros = (rtt.as_secs_f64() * 1e6).round();
        let line = Line::of_peer("pong", node.id()).show_some("addr", node.udp_addr());
        Ok(Answer {
            text: format!("node responded to ping (RTT {rtt:?})."),
            line: line.with("rtt_ms", micros / 1e3),
        })
    }
}

struct RequestEnr;

impl<D: Discovery> Question<D> for RequestEnr {
    const FAILED: &'static str = "can't retrieve record";

    async fn ask(&self, running: &Running<D>, node: &Node) -> Result<Answer, Unanswered> {
        let record = running.handle.request_enr(node).await?;
        Ok(Answer::node(&Node::from_record(record)))
    }
}

struct Resolve;

impl<D: Discovery> Question<D> for Resolve {
    const FAILED: &'static str = "can't find the node";
    const SILENCE: &'static str = "nobody knows it";
    const IS_FOR_OTHERS: bool = true;

    /// As geth: the node is asked first, and others only if it does not answer.
    async fn ask(&self, running: &Running<D>, node: &Node) -> Result<Answer, Unanswered> {
        if node.udp_addr().is_some() {
            match RequestEnr.ask(running, node).await {
                Err(Unanswered::Failed(_) | Unanswered::Silence) => {}
                answer => return answer,
            }
        }
        let handle = &running.handle;
        // A search begins with nodes that have answered.
        join_all(running.bootnodes.iter().map(|node| handle.ping(node))).await;
        let found = handle.resolve(node.public_key()).await?;
        Ok(Answer::node(&found.ok_or(Unanswered::Silence)?))
    }
}

impl Answer {
    fn node(node: &Node) -> Self {
        Self { text: node.to_string(), line: describe("node", node) }
    }
}
