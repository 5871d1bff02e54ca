//! The contracts of the server's traits, as suites that any implementation can run.
//!
//! Each trait has a suite: a list of named clauses, each a promise of the trait's `# Contract`. A
//! suite is given what makes implementations, tries every clause on fresh ones, and reports which
//! were violated and what was seen. So whoever swaps a layer of the server knows that the rest
//! will work with it.
//!
//! | suite | for |
//! |---|---|
//! | [`dialer::check`] | [`Dialer`](crate::Dialer) and [`Listener`](crate::Listener) |
//! | [`transport::check`] | [`Transport`](crate::Transport), and the connections that it makes |
//! | [`connection::check`] | [`Connection`](devp2p_core::Connection) alone |
//! | [`multiplexer::check`] | [`Multiplexer`](crate::Multiplexer) |
//! | [`scheduler::check`] | [`DialScheduler`](crate::DialScheduler) |
//! | [`discovery::check`] | [`Discovery`](crate::Discovery) |
//! | [`node_db::check`] | [`NodeDb`](crate::NodeDb) |
//! | [`port_mapper::check`] | [`PortMapper`](crate::PortMapper) |
//!
//! All but the scheduler's need a tokio runtime, and run best on paused time (`start_paused`): a
//! clause that waits to see that nothing happens then costs nothing. Implementations on real
//! sockets run them in real time, within seconds.
//!
//! ```
//! use devp2p_server::{
//!     NodeList,
//!     contract::discovery::{Resolves, check},
//! };
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let report = check(Resolves::Known, |known| Box::new(NodeList::new(known))).await;
//! report.assert_kept();
//! # }
//! ```
//!
//! What a suite cannot see it does not promise: that a transport keeps secrets, for one.

pub mod connection;
pub mod dialer;
pub mod discovery;
pub mod multiplexer;
pub mod node_db;
pub mod port_mapper;
pub mod scheduler;
pub mod transport;

use std::{fmt, time::Duration};

use devp2p_core::{Host, Node, NodeKey, PublicKey};
use tokio::time::timeout;

/// What a suite found.
#[must_use = "a report that nobody reads checks nothing"]
#[derive(Clone, Debug)]
pub struct Report {
    suite: &'static str,
    checked: Vec<&'static str>,
    violations: Vec<Violation>,
}

/// A clause that an implementation does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The clause.
    pub clause: &'static str,
    /// What was seen in place of what it promises.
    pub seen: String,
}

impl Report {
    /// The clauses that were tried, in their order.
    pub fn checked(&self) -> &[&'static str] {
        &self.checked
    }

    /// What was violated, in the order of the clauses.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The names of the violated clauses.
    pub fn violated(&self) -> Vec<&'static str> {
        self.violations.iter().map(|violation| violation.clause).collect()
    }

    /// Passes where every clause was kept.
    ///
    /// # Panics
    /// With the whole report where one was not.
    #[track_caller]
    pub fn assert_kept(&self) {
        assert!(self.violations.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kept, all) =
            (self.checked.len().saturating_sub(self.violations.len()), self.checked.len());
        write!(f, "{}: {kept} of {all} clauses kept", self.suite)?;
        for Violation { clause, seen } in &self.violations {
            write!(f, "\n  {clause}: {seen}")?;
        }
        Ok(())
    }
}

/// How long one clause may take: longer than any deadline of the default implementations, so that
/// what ends by itself has the time to.
const CLAUSE_LIMIT: Duration = Duration::from_secs(60);

/// How long nothing must happen before it counts as nothing. Bounds the real time of suites on
/// real sockets.
const QUIET: Duration = Duration::from_millis(150);

/// How long to wait before something is polled again whose wakes are ignored on purpose. Time has to
/// pass meanwhile, or the limit of the clause would never come.
const TICK: Duration = Duration::from_millis(1);

/// A suite on its way.
struct Suite(Report);

impl Suite {
    const fn new(suite: &'static str) -> Self {
        Self(Report { suite, checked: Vec::new(), violations: Vec::new() })
    }

    /// Tries one clause.
    async fn clause(&mut self, name: &'static str, clause: impl Future<Output = Result<(), Seen>>) {
        let verdict = timeout(CLAUSE_LIMIT, clause)
            .await
            .unwrap_or_else(|_| Err(Seen(format!("no end within {CLAUSE_LIMIT:?}"))));
        self.verdict(name, verdict);
    }

    /// Takes down what became of a clause that needs no time.
    fn verdict(&mut self, name: &'static str, verdict: Result<(), Seen>) {
        self.0.checked.push(name);
        if let Err(Seen(seen)) = verdict {
            self.0.violations.push(Violation { clause: name, seen });
        }
    }

    fn report(self) -> Report {
        self.0
    }
}

/// What was seen in place of what a clause promises. Any error is a thing to be seen.
struct Seen(String);

impl<E: std::error::Error> From<E> for Seen {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

fn seen<T>(what: impl Into<String>) -> Result<T, Seen> {
    Err(Seen(what.into()))
}

fn ensure(kept: bool, otherwise: impl FnOnce() -> String) -> Result<(), Seen> {
    if kept { Ok(()) } else { Err(Seen(otherwise())) }
}

/// `None` where the future is still pending after a while. It is dropped then.
async fn quiet<T>(future: impl Future<Output = T>) -> Option<T> {
    timeout(QUIET, future).await.ok()
}

fn key(n: u8) -> Result<NodeKey, Seen> {
    Ok(NodeKey::from_bytes(&[n; 32])?)
}

fn node_at(key: PublicKey, address: std::net::SocketAddr) -> Node {
    Node::new(key, Some(Host::Ip(address.ip())), address.port(), address.port())
}

/// Any moment, for what takes time as an argument.
fn start() -> std::time::Instant {
    crate::runtime::now()
}
