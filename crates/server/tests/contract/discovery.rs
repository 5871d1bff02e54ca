use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use devp2p_core::{Node, PublicKey};
use devp2p_server::{
    Discovery, FairMix, NodeList,
    contract::discovery::{self, Resolves},
};
use futures::{
    Stream, StreamExt as _,
    future::{BoxFuture, pending, ready},
};

use crate::support::foreign::noticeboard::Noticeboard;

#[tokio::test(start_paused = true)]
async fn a_list() {
    discovery::check(Resolves::Known, |known| Box::new(NodeList::new(known))).await.assert_kept();
}

#[tokio::test(start_paused = true)]
async fn a_mix() {
    // Who knows nothing holds nobody up.
    let report = discovery::check(Resolves::Known, |known| {
        let (one, other) = known.split_at(known.len() / 3);
        let sources = [&[], one, other]
            .map(|known| Box::new(NodeList::new(known.iter().cloned())) as Box<dyn Discovery>);
        Box::new(FairMix::with_shares([3, 1, 2].into_iter().zip(sources)))
    });
    report.await.assert_kept();
}

#[tokio::test(start_paused = true)]
async fn foreign() {
    let report = discovery::check(Resolves::Known, |known| {
        let board = Noticeboard::default();
        known.into_iter().for_each(|node| board.announce(node));
        Box::new(board.reader())
    });
    report.await.assert_kept();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Ends after its first round.
    Mortal,
    /// Tells everything once.
    Brief,
    /// Never pauses.
    Eager,
    /// Has whoever waits look all the time.
    Busy,
    /// Knows only who asked first.
    Loyal,
    /// Never tells the last node.
    Discreet,
    /// Answers with another node than was asked for.
    Confused,
    /// Searches for ever.
    Thorough,
    /// Never finds anybody.
    Ignorant,
}

#[tokio::test(start_paused = true)]
async fn broken_ones_are_found_out() {
    for (flaw, expected) in [
        (Flaw::Mortal, &["never ends", "looks up again", "wakes", "cancellation"][..]),
        (Flaw::Brief, &["looks up again", "wakes", "cancellation"]),
        (Flaw::Eager, &["in rounds of a second"]),
        (
            Flaw::Busy,
            &["never ends", "looks up again", "in rounds of a second", "wakes", "cancellation"],
        ),
        (Flaw::Loyal, &["cancellation"]),
        (
            Flaw::Discreet,
            &[
                "finds what it knows",
                "looks up again",
                "cancellation",
                "resolve finds what it knows",
            ],
        ),
        (Flaw::Confused, &["resolve ends", "resolve finds what it knows"]),
        (Flaw::Thorough, &["resolve ends", "resolve finds what it knows"]),
        (Flaw::Ignorant, &["resolve finds what it knows"]),
    ] {
        let report =
            discovery::check(Resolves::Known, |known| Box::new(Broken::new(known, flaw))).await;
        assert_eq!(report.violated(), expected, "{flaw:?}: {report}");
    }
}

struct Broken {
    known: Vec<Node>,
    inner: NodeList,
    told: usize,
    first_waker: Option<Waker>,
    flaw: Flaw,
}

impl Broken {
    fn new(mut known: Vec<Node>, flaw: Flaw) -> Self {
        if flaw == Flaw::Discreet {
            known.pop();
        }
        let inner = NodeList::new(known.clone());
        Self { known, inner, told: 0, first_waker: None, flaw }
    }
}

impl Stream for Broken {
    type Item = Node;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        let this = &mut *self;
        let first_round = this.told < this.known.len();
        match this.flaw {
            Flaw::Mortal if !first_round => return Poll::Ready(None),
            Flaw::Brief if !first_round => return Poll::Pending,
            Flaw::Eager if !this.known.is_empty() => {
                let next = this.known.get(this.told % this.known.len()).cloned();
                this.told += 1;
                return Poll::Ready(next);
            }
            _ => {}
        }
        let own = cx.waker().clone();
        let waker = match this.flaw {
            Flaw::Loyal => this.first_waker.get_or_insert(own),
            _ => &own,
        };
        let next = this.inner.poll_next_unpin(&mut Context::from_waker(waker));
        match next {
            Poll::Ready(_) => {
                this.told += 1;
                this.first_waker = None;
            }
            Poll::Pending if this.flaw == Flaw::Busy => cx.waker().wake_by_ref(),
            Poll::Pending => {}
        }
        next
    }
}

impl Discovery for Broken {
    fn resolve(&self, public_key: PublicKey) -> BoxFuture<'static, Option<Node>> {
        match self.flaw {
            Flaw::Confused => Box::pin(ready(self.known.first().cloned())),
            Flaw::Thorough => Box::pin(pending()),
            Flaw::Ignorant => Box::pin(ready(None)),
            _ => self.inner.resolve(public_key),
        }
    }
}
