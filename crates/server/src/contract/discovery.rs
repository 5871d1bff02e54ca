//! The suite of [`Discovery`].
//!
//! Its clauses:
//!
//! - **finds what it knows**: every node that it was told of comes up as a candidate.
//! - **never ends**: not when it has nothing to tell either.
//! - **looks up again**: what it told once it tells again to one who still asks.
//! - **in rounds of a second**: it does not tell all it knows more often than that, however eagerly
//!   it is polled.
//! - **wakes**: a task that waits for it is woken; it need not be polled on suspicion, and is not
//!   woken all the time.
//! - **cancellation**: dropping whatever waits for a candidate loses none.
//! - **resolve ends**: with the node that was asked for, or nothing.
//! - **resolve finds what it knows**: where the source [resolves](Resolves) at all.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr},
    task::Poll,
    time::Duration,
};

use devp2p_core::{Node, NodeId, PublicKey};
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::{sleep, timeout};

use super::{Report, Seen, Suite, ensure, key, node_at, seen};
use crate::Discovery;

/// How many nodes it is told of.
const KNOWN: u8 = 20;

/// How long to watch it. Several rounds, so that one more or less at the edges does not count.
const WATCH: Duration = Duration::from_secs(10);

/// When to stop counting.
const MANY: usize = 10_000;

/// How often it may have a waiting task look in vain.
const WAKES_PER_CANDIDATE: usize = 20;

/// Whether [`Discovery::resolve`] of a source finds anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolves {
    /// The nodes that the source knows.
    Known,
    /// Nothing: it only tells candidates.
    Nothing,
}

/// Tries every clause. `discovery` makes one that knows these nodes.
pub async fn check(
    resolves: Resolves,
    discovery: impl Fn(Vec<Node>) -> Box<dyn Discovery>,
) -> Report {
    let mut suite = Suite::new("Discovery");
    let make = &discovery;
    suite.clause("finds what it knows", finds(make)).await;
    suite.clause("never ends", never_ends(make)).await;
    suite.clause("looks up again", looks_again(make)).await;
    suite.clause("in rounds of a second", rounds(make)).await;
    suite.clause("wakes", wakes(make)).await;
    suite.clause("cancellation", cancellation(make)).await;
    suite.clause("resolve ends", resolve_ends(make)).await;
    if resolves == Resolves::Known {
        suite.clause("resolve finds what it knows", resolve_finds(make)).await;
    }
    suite.report()
}

fn known() -> Result<Vec<Node>, Seen> {
    let node = |n| {
        let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, n), 30_303));
        Ok(node_at(key(n)?.public_key(), address))
    };
    (1..=KNOWN).map(node).collect()
}

fn ids(nodes: &[Node]) -> BTreeSet<NodeId> {
    nodes.iter().map(Node::id).collect()
}

async fn finds(make: impl Fn(Vec<Node>) -> Box<dyn Discovery>) -> Result<(), Seen> {
    let mut source = make(known()?);
    round(&mut source).await
}

async fn never_ends(make: impl Fn(Vec<Node>) -> Box<dyn Discovery>) -> Result<(), Seen> {
    for nodes in [Vec::new(), known()?] {
        let count = nodes.len();
        let mut source = make(nodes);
        let mut told = 0_usize;
        let watch = async {
            while told < MANY {
                if next(&mut source).await?.is_none() {
                    return seen(format!("the end, of a source that knows {count} nodes"));
                }
                told = told.saturating_add(1);
            }
            Ok(())
        };
        timeout(WATCH, watch).await.unwrap_or(Ok(()))?;
    }
    Ok(())
}

async fn looks_again(make: impl Fn(Vec<Node>) -> Box<dyn Discovery>) -> Result<(), Seen> {
    let mut source = make(known()?);
    round(&mut source).await?;
    round(&mut source).await
}

async fn rounds(make: impl Fn(Vec<Node>) -> Box<dyn Discovery>) -> Result<(), Seen> {
    let mut source = make(known()?);
    // One round at once, then one a second.
    let seconds = usize::try_from(WATCH.as_secs()).unwrap_or(usize::MAX);
    let most = usize::from(KNOWN).saturating_mul(seconds.saturating_add(1));
    let mut told = 0_usize;
    let greedy = async {
        while told <= most && next(&mut source).await?.is_some() {
            told = told.saturating_add(1);
        }
        Ok::<(), Seen>(())
    };
    timeout(WATCH, greedy).await.unwrap_or(Ok(()))?;
    ensure(told <= most, || format!("more than {most} candidates within {WATCH:?}"))
}

async fn wakes(make: impl Fn(Vec<Node>) -> Box<dyn Discovery>) -> Result<(), Seen> {
    let mut source = make(known()?);
    let (mut polls, mut told) = (0_usize, 0_usize);
    let watch = poll_fn(|cx| {
        polls = polls.saturating_add(1);
        if let Poll::Ready(Some(_)) = source.poll_next_unpin(cx) {
            told = told.saturating_add(1);
            cx.waker().wake_by_ref();
        }
        let too_many = told.saturating_add(1).saturating_mul(WAKES_PER_CANDIDATE);
        if polls > too_many || told > MANY { Poll::Ready(polls > too_many) } else { Poll::Pending }
    });
    let busy = timeout(WATCH, watch).await.unwrap_or(false);
    ensure(!busy, || format!("woken {polls} times for {told} candidates"))?;
    let two_rounds = usize::from(KNOWN).saturating_mul(2);
    ensure(told >= two_rounds, || format!("woken for {told} candidates within {WATCH:?}"))
}

async fn cancellation(make: impl Fn(Vec<Node>) -> Box<dyn Discovery>) -> Result<(), Seen> {
    let mut source = make(known()?);
    let mut missing = ids(&known()?);
    let all = async {
        while !missing.is_empty() {
            // Each of these futures is polled once and dropped.
            match source.next().now_or_never() {
                Some(Some(node)) => drop(missing.remove(&node.id())),
                Some(None) => break,
                None => sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let found = timeout(WATCH, all).await;
    ensure(found.is_ok() && missing.is_empty(), || format!("{} nodes missing", missing.len()))?;
    // Whoever asks last is woken, and not the one who gave up.
    for _ in 0..MANY {
        if source.next().now_or_never().is_none() {
            break;
        }
    }
    // A timeout would poll it a last time itself.
    let woken = tokio::select! {
        biased;
        () = sleep(WATCH) => false,
        next = next(&mut source) => matches!(next, Ok(Some(_))),
    };
    ensure(woken, || "who asked again is not woken".to_owned())
}

async fn resolve_ends(make: impl Fn(Vec<Node>) -> Box<dyn Discovery>) -> Result<(), Seen> {
    let source = make(known()?);
    let stranger = key(KNOWN + 1)?.public_key();
    let known: Vec<PublicKey> = known()?.iter().map(Node::public_key).collect();
    for asked in known.into_iter().chain([stranger]) {
        let found = source.resolve(asked).await;
        ensure(found.as_ref().is_none_or(|node| node.public_key() == asked), || {
            format!("asked for {asked}, it told {found:?}")
        })?;
    }
    // The answer needs nothing of the source.
    let later = source.resolve(stranger);
    drop(source);
    later.await;
    Ok(())
}

async fn resolve_finds(make: impl Fn(Vec<Node>) -> Box<dyn Discovery>) -> Result<(), Seen> {
    let mut source = make(known()?);
    // One that has to look around knows them from here on.
    round(&mut source).await?;
    for node in known()? {
        let found = source.resolve(node.public_key()).await;
        ensure(found.is_some_and(|found| found.id() == node.id()), || {
            format!("{node} is not found")
        })?;
    }
    Ok(())
}

/// Waits until each known node came up.
async fn round(source: &mut Box<dyn Discovery>) -> Result<(), Seen> {
    let mut missing = ids(&known()?);
    let all = async {
        while !missing.is_empty() {
            match next(source).await? {
                Some(node) => missing.remove(&node.id()),
                None => return seen("the end"),
            };
        }
        Ok(())
    };
    let found = timeout(WATCH, all).await.unwrap_or_else(|_| seen("nothing more"));
    found.map_err(|Seen(what)| Seen(format!("{what}, with {} nodes missing", missing.len())))
}

/// The next candidate. A source that has it polled all the time is given up: on paused time it
/// would keep the time from passing.
async fn next(source: &mut Box<dyn Discovery>) -> Result<Option<Node>, Seen> {
    let mut polls = 0_usize;
    poll_fn(|cx| {
        polls = polls.saturating_add(1);
        match source.poll_next_unpin(cx) {
            Poll::Ready(next) => Poll::Ready(Ok(next)),
            Poll::Pending if polls > MANY => Poll::Ready(seen("woken all the time, for nothing")),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
