//! `devp2p discv4`: node discovery alone, without a server. What is not JSON is as geth's
//! `devp2p discv4` prints it.

mod discovery;

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use devp2p_core::{Family, Node};
use devp2p_discv4::{Handle, QueryError, RequestError};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use self::discovery::{Discovery, with_address, with_addresses};
use crate::{
    args::{Discv4Command, Discv4Listen, Discv4Query},
    failure::Failure,
    interrupts::Interrupts,
    output::{self, Line, Printer},
    runtime::block_on,
};

/// The pause before the same is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Runs one of the commands.
pub(crate) fn run(command: Discv4Command) -> Result<(), Failure> {
    block_on(async {
        match command {
            Discv4Command::Listen(args) => listen(args).await,
            Discv4Command::Ping(query) => ask(Question::Ping, query).await,
            Discv4Command::RequestEnr(query) => ask(Question::Record, query).await,
            Discv4Command::Resolve(query) => ask(Question::Whereabouts, query).await,
        }
    })
}

async fn listen(args: Discv4Listen) -> Result<(), Failure> {
    // Before anything else, so that a signal during the start is not lost.
    let mut interrupts = Interrupts::new().map_err(Failure::work)?;
    let Discv4Listen { events, discv4: args } = args;
    let start = async {
        let bootnodes = with_addresses(args.search.bootnodes()?).await;
        let addr = args.addr.unwrap_or_else(|| addr_to_reach(None, &bootnodes));
        Discovery::start(&args, addr, bootnodes).await
    };
    // A disk that does not answer keeps the start waiting, as does who looks up names.
    let started = tokio::select! {
        biased;
        () = interrupts.next() => return Ok(()),
        started = start => started,
    };
    let mut discovery = started?;
    let printer = Printer { json: args.json };
    let result = match discovery.print_ready(&printer) {
        Ok(()) => tokio::select! {
            biased;
            () = interrupts.next() => Ok(()),
            result = discovery.watch((events || args.json).then_some(&printer)) => result,
        },
        Err(failure) => Err(failure),
    };
    let stopped = discovery.stop().await;
    result.and(stopped)
}

/// Asks, and prints the answer.
async fn ask(question: Question, query: Discv4Query) -> Result<(), Failure> {
    let node = with_address(query.node).await?;
    let known = query.discv4.search.bootnodes()?;
    let bootnodes = with_addresses(known.clone()).await;
    let addr = query.discv4.addr.unwrap_or_else(|| addr_to_reach(node.udp_addr(), &bootnodes));
    let may_ask_others = question == Question::Whereabouts
        && (query.discv4.search.nodedb.is_some()
            || bootnodes.iter().filter_map(Node::udp_addr).any(|to| reaches(addr, to)));
    match node.udp_addr() {
        Some(to) if !may_ask_others && !reaches(addr, to) => {
            let why = format!("--addr {addr} is not of the IP version of {to}");
            return Err(Failure::arguments(format!("{node}: {why}")));
        }
        None if question == Question::Whereabouts && !may_ask_others => {
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
    let discovery = Discovery::start(&query.discv4, addr, bootnodes).await?;
    let search = Search { handle: &discovery.handle, bootnodes: &discovery.bootnodes, node };
    let answer = match query.timeout {
        0 => search.ask(question).await,
        seconds => search.ask_until(question, Duration::from_secs(seconds.into())).await,
    };
    let node = search.node;
    let stopped = discovery.stop().await;
    match answer {
        Ok(Some(answer)) => answer.print(&node, query.discv4.json).and(stopped),
        Ok(None) if question == Question::Whereabouts => Err(question.failed("nobody knows it")),
        Ok(None) => Err(question.failed("no answer in time")),
        Err(QueryError::Closed) => Err(stopped.err().unwrap_or_else(|| question.failed("closed"))),
        Err(QueryError::Request(error @ (RequestError::NoEndpoint | RequestError::OwnId))) => {
            Err(Failure::arguments(format!("{node}: {error}")))
        }
        Err(error) => Err(question.failed(&error.to_string())),
    }
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

/// What is asked about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Ping,
    Record,
    Whereabouts,
}

impl Question {
    /// In geth's words, where it has some.
    fn failed(self, why: &str) -> Failure {
        Failure::work(match self {
            Self::Ping => format!("node didn't respond: {why}"),
            Self::Record => format!("can't retrieve record: {why}"),
            Self::Whereabouts => format!("can't find the node: {why}"),
        })
    }
}

#[derive(Debug)]
enum Answer {
    /// To a ping, after this time.
    Pong(Duration),
    Node(Node),
}

impl Answer {
    fn print(&self, asked: &Node, json: bool) -> Result<(), Failure> {
        match self {
            Self::Pong(rtt) if json => {
                let micros = (rtt.as_secs_f64() * 1e6).round();
                let line = Line::of_peer("pong", asked.id());
                output::line(
                    &line
                        .show_some("addr", asked.udp_addr())
                        .with("rtt_ms", micros / 1e3)
                        .to_json(),
                )
            }
            Self::Pong(rtt) => output::line(&format_args!("node responded to ping (RTT {rtt:?}).")),
            Self::Node(node) if json => output::line(&describe("node", node).to_json()),
            Self::Node(node) => output::line(node),
        }
    }
}

/// An event about a node, with all that is known of it.
fn describe(event: &'static str, node: &Node) -> Line {
    Line::of_peer(event, node.id())
        .with("enode", node.to_enode())
        .with("enr", node.to_enr())
        .with("seq", node.record().map(devp2p_core::Record::seq))
}

struct Search<'a> {
    handle: &'a Handle,
    bootnodes: &'a [Node],
    node: Node,
}

impl Search<'_> {
    /// Asks again and again.
    async fn ask_until(
        &self,
        question: Question,
        limit: Duration,
    ) -> Result<Option<Answer>, QueryError> {
        let asking = async {
            loop {
                match self.ask(question).await {
                    Ok(None) => sleep(RETRY_PAUSE).await,
                    result => return result,
                }
            }
        };
        timeout(limit, asking).await.unwrap_or(Ok(None))
    }

    /// Asks once. Nothing where there is no answer in time.
    async fn ask(&self, question: Question) -> Result<Option<Answer>, QueryError> {
        let answer = match question {
            Question::Ping => self.handle.ping(&self.node).await.map(Answer::Pong),
            Question::Record => self.record().await,
            Question::Whereabouts => return self.resolve().await,
        };
        match answer {
            Err(QueryError::Request(RequestError::Timeout)) => Ok(None),
            answer => answer.map(Some),
        }
    }

    async fn record(&self) -> Result<Answer, QueryError> {
        let record = self.handle.request_enr(&self.node).await?;
        Ok(Answer::Node(Node::from_record(record)))
    }

    /// As geth: the node is asked first, and others only if it does not answer.
    async fn resolve(&self) -> Result<Option<Answer>, QueryError> {
        if self.node.udp_addr().is_some() {
            match self.record().await {
                Err(QueryError::Request(error)) if error != RequestError::OwnId => {}
                answer => return answer.map(Some),
            }
        }
        // A search begins with nodes that have answered.
        join_all(self.bootnodes.iter().map(|node| self.handle.ping(node))).await;
        let node = self.handle.resolve(self.node.public_key()).await?;
        Ok(node.map(Answer::Node))
    }
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
