//! `devp2p discv4`: node discovery alone, without a server. What is not JSON is as geth's
//! `devp2p discv4` prints it.

mod discovery;

use std::time::Duration;

use devp2p_core::Node;
use devp2p_discv4::{Handle, QueryError, RequestError};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use self::discovery::{Discovery, with_address};
use crate::{
    args::{Discv4Args, Discv4Command, Discv4Query},
    failure::Failure,
    interrupts::Interrupts,
    output::{self, Line, Printer},
};

/// The pause before the same is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Runs one of the commands.
pub(crate) fn run(command: Discv4Command, verbose: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::work)?;
    runtime.block_on(async {
        match command {
            Discv4Command::Listen(args) => listen(args, verbose).await,
            Discv4Command::Ping(query) => ask(Question::Ping, query).await,
            Discv4Command::RequestEnr(query) => ask(Question::Record, query).await,
            Discv4Command::Resolve(query) => ask(Question::Whereabouts, query).await,
        }
    })
}

async fn listen(args: Discv4Args, verbose: bool) -> Result<(), Failure> {
    // Before anything else, so that a signal during the start is not lost.
    let mut interrupts = Interrupts::new().map_err(Failure::work)?;
    let mut discovery = Discovery::start(&args).await?;
    let printer = Printer { json: args.json };
    let result = match discovery.print_ready(&printer) {
        Ok(()) => tokio::select! {
            biased;
            () = interrupts.next() => Ok(()),
            result = discovery.watch((verbose || args.json).then_some(&printer)) => result,
        },
        Err(failure) => Err(failure),
    };
    let stopped = discovery.stop().await;
    result.and(stopped)
}

/// Asks, and prints the answer.
async fn ask(question: Question, query: Discv4Query) -> Result<(), Failure> {
    let node = with_address(query.node).await?;
    if question == Question::Whereabouts
        && node.udp_addr().is_none()
        && query.discv4.search.nodedb.is_none()
        && query.discv4.search.bootnodes()?.is_empty()
    {
        let why = "the node has no UDP endpoint, and there are no --bootnodes to ask for it";
        return Err(Failure::arguments(format!("{node}: {why}")));
    }
    let discovery = Discovery::start(&query.discv4).await?;
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
