//! The candidates of several sources as one stream.

use std::time::{Duration, Instant};

use devp2p_core::Node;

/// Below this a wait is none: timers are no finer.
const MIN_PATIENCE: Duration = Duration::from_millis(1);

/// Mixes the candidates of several sources in fixed shares, so that a source that says much does
/// not drown the others: whoever controls one source controls its share of the candidates.
///
/// Sources are numbered in the order of their shares. [`push`](Mix::push) a candidate of each that
/// [`wants`](Mix::wants) one, then take the [`next`](Mix::next); while there is none, wait until a
/// source has one or for [`poll_timeout`](Mix::poll_timeout).
///
/// A source whose turn it is and that has nothing is waited for, up to the patience; then another
/// takes its place, and it is waited for half as long the next time, until it has something again.
/// So the misses in a row of one source cost twice the patience together. (go-ethereum's `FairMix`,
/// with shares.)
#[derive(Debug)]
pub struct Mix {
    sources: Vec<Source>,
    patience: Duration,
    /// The source whose turn it is, and until when it is waited for.
    waiting: Option<(usize, Instant)>,
}

#[derive(Debug)]
struct Source {
    share: i64,
    /// How far it is behind its share. Over all sources together it stays bounded.
    credit: i64,
    patience: Duration,
    candidate: Option<Node>,
    ended: bool,
}

impl Mix {
    /// The patience of go-ethereum's dial scheduler.
    pub const PATIENCE: Duration = Duration::from_millis(100);

    /// A mix of as many sources as there are shares. A share of 0 counts as 1.
    pub fn new(shares: impl IntoIterator<Item = u32>, patience: Duration) -> Self {
        let source = |share: u32| Source {
            share: share.max(1).into(),
            credit: 0,
            patience,
            candidate: None,
            ended: false,
        };
        Self { sources: shares.into_iter().map(source).collect(), patience, waiting: None }
    }

    /// Whether there is room for a candidate of this source: for one of each.
    pub fn wants(&self, source: usize) -> bool {
        self.sources.get(source).is_some_and(|it| it.candidate.is_none() && !it.ended)
    }

    /// The source has a candidate. Whether there was room for it; where there is none, it is lost.
    pub fn push(&mut self, source: usize, candidate: Node) -> bool {
        match self.sources.get_mut(source) {
            Some(it) if it.candidate.is_none() && !it.ended => {
                it.candidate = Some(candidate);
                it.patience = self.patience;
                true
            }
            _ => false,
        }
    }

    /// The source will have no more candidates. What it has pushed is lost.
    pub fn end(&mut self, source: usize) {
        if let Some(source) = self.sources.get_mut(source) {
            source.ended = true;
            source.candidate = None;
        }
    }

    /// The next candidate. There is none while no source has one, or while the source whose turn
    /// it is is waited for.
    pub fn next(&mut self, now: Instant) -> Option<Node> {
        let turn = self.turn(|source| !source.ended)?;
        let source = self.sources.get_mut(turn)?;
        if source.candidate.is_some() {
            return self.take(turn, |source| !source.ended);
        }
        let until = match self.waiting {
            Some((waited_for, until)) if waited_for == turn => until,
            _ => later(now, source.patience),
        };
        self.waiting = Some((turn, until));
        if now < until {
            return None;
        }
        // It keeps its turn: whatever it has next goes first.
        let substitute = self.turn(Source::is_ready)?;
        let source = self.sources.get_mut(turn)?;
        let half = source.patience.checked_div(2).unwrap_or_default();
        source.patience = if half < MIN_PATIENCE { Duration::ZERO } else { half };
        self.take(substitute, Source::is_ready)
    }

    /// When to call [`next`](Mix::next) again, although no source has something new.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (_, until) = self.waiting?;
        self.sources.iter().any(Source::is_ready).then_some(until)
    }

    /// The one of these sources that is furthest behind its share, once each has its due for
    /// another candidate; the first of equals.
    fn turn(&self, takes_part: fn(&Source) -> bool) -> Option<usize> {
        let sources = self.sources.iter().enumerate().filter(|(_, source)| takes_part(source));
        let due = |source: &Source| source.credit.saturating_add(source.share);
        sources.rev().max_by_key(|(_, source)| due(source)).map(|(index, _)| index)
    }

    /// Takes the candidate of a source, to be reckoned with those that took part.
    fn take(&mut self, turn: usize, took_part: fn(&Source) -> bool) -> Option<Node> {
        self.waiting = None;
        let mut all: i64 = 0;
        for source in self.sources.iter_mut().filter(|source| took_part(source)) {
            source.credit = source.credit.saturating_add(source.share);
            all = all.saturating_add(source.share);
        }
        let source = self.sources.get_mut(turn)?;
        source.credit = source.credit.saturating_sub(all);
        source.candidate.take()
    }
}

impl Source {
    const fn is_ready(&self) -> bool {
        self.candidate.is_some() && !self.ended
    }
}

/// A wait that no clock can hold is none.
fn later(now: Instant, patience: Duration) -> Instant {
    now.checked_add(patience).unwrap_or(now)
}
