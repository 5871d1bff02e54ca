use std::time::{Duration, Instant};

use devp2p_core::Rng;

use crate::Config;

/// Our Pings: when to send one, what their answers tell, and when to give the remote up.
///
/// A remote whose subprotocol is slow pauses reading, as we do, and then answers no Ping; but it
/// goes on sending its own. So the deadline runs from the last sign of life, and only where there
/// were signs of life but no Pong for as long as a pause may last as well, the remote is given up
/// in spite of them. While it is we who do not read, nothing runs.
#[derive(Debug)]
pub(super) struct Pings {
    interval: Duration,
    timeout: Duration,
    /// How long a remote's own pause may last, on top of the timeout.
    patience: Duration,
    rng: Rng,
    next_at: Option<Instant>,
    /// A Ping waits to be sent.
    due: bool,
    /// When the first Ping since the last Pong was due.
    unanswered_since: Option<Instant>,
    /// When the remote last gave a sign of life.
    heard_at: Instant,
    /// How many Pings were sent and not answered.
    under_way: u32,
    /// When the Ping was sent that the next Pong answers, if that can be told.
    timed: Option<Instant>,
    rtt: Option<Duration>,
}

impl Pings {
    pub(super) fn new(config: &Config, seed: [u8; 32], now: Instant) -> Self {
        let mut pings = Self {
            interval: config.ping_interval,
            timeout: config.pong_timeout,
            patience: config.stall_timeout,
            rng: Rng::from_seed(seed),
            next_at: None,
            due: false,
            unanswered_since: None,
            heard_at: now,
            under_way: 0,
            timed: None,
            rtt: None,
        };
        pings.schedule(now);
        pings
    }

    /// The interval is an upper limit, so that a remote hears something within every interval.
    fn schedule(&mut self, now: Instant) {
        let quarter = self.interval.checked_div(4).unwrap_or_default();
        let cut = self.rng.below(u64::try_from(quarter.as_nanos()).unwrap_or(u64::MAX));
        let wait = self.interval.saturating_sub(Duration::from_nanos(cut));
        // A Ping at once for ever would be a loop without a pause.
        self.next_at = now.checked_add(wait.max(SHORTEST));
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    pub(super) fn poll_timeout(&self, paused: bool) -> Option<Instant> {
        let deadline = if paused { None } else { self.deadline() };
        self.next_at.into_iter().chain(deadline).min()
    }

    fn deadline(&self) -> Option<Instant> {
        let since = self.unanswered_since?;
        let silence = since.max(self.heard_at).checked_add(self.timeout);
        let latest = since.checked_add(self.timeout.saturating_add(self.patience));
        silence.into_iter().chain(latest).min()
    }

    /// Returns whether the remote is to be given up.
    pub(super) fn handle_timeout(&mut self, now: Instant, paused: bool) -> bool {
        if !paused && self.deadline().is_some_and(|deadline| deadline <= now) {
            return true;
        }
        if self.next_at.is_some_and(|next_at| next_at <= now) {
            self.due = true;
            self.unanswered_since.get_or_insert(now);
            self.schedule(now);
        }
        false
    }

    /// Takes the Ping that waits to be sent.
    pub(super) fn take(&mut self, now: Instant, paused: bool) -> bool {
        let taken = std::mem::take(&mut self.due);
        if taken {
            // With two under way nobody knows which of them a Pong answers.
            let alone = self.timed.is_none() && self.unanswered_since.is_some();
            self.timed = (alone && !paused).then_some(now);
            self.under_way = self.under_way.saturating_add(1);
        }
        taken
    }

    /// Returns whether the Pong answers a Ping.
    pub(super) fn handle_pong(&mut self, now: Instant) -> bool {
        if let Some(sent) = self.timed.take() {
            self.rtt = Some(now.saturating_duration_since(sent));
        }
        self.unanswered_since = None;
        let solicited = self.under_way > 0;
        self.under_way = self.under_way.saturating_sub(1);
        solicited
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Reading has been paused: what comes now may have waited.
    pub(super) fn pause(&mut self) {
        self.timed = None;
    }

    /// Reading goes on: the remote's deadline starts anew.
    pub(super) fn resume(&mut self, now: Instant) {
        self.heard_at = now;
        if let Some(since) = &mut self.unanswered_since {
            *since = now;
        }
    }
}

/// The shortest time between two Pings, whatever the configuration says.
const SHORTEST: Duration = Duration::from_millis(10);

/// The remote's Pings: at most one Pong waits, and no more than a bucket of tokens allows. What
/// else of the base protocol the remote may send without end draws on the same tokens.
#[derive(Debug)]
pub(super) struct Pongs {
    refill: Duration,
    burst: u32,
    max_excess: u32,
    /// When the bucket will be full again.
    full_at: Instant,
    /// Messages in a row for which there was no token.
    excess: u32,
    /// A Pong waits to be sent.
    due: bool,
}

impl Pongs {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            refill: config.ping_refill,
            burst: config.ping_burst.max(1),
            max_excess: config.ping_excess,
            full_at: now,
            excess: 0,
            due: false,
        }
    }

    /// Returns false where it is one too many.
    pub(super) fn handle_ping(&mut self, now: Instant) -> bool {
        let token = self.take_token(now);
        self.due |= token;
        token || self.is_tolerable()
    }

    /// As a Ping, but nobody expects an answer.
    pub(super) fn handle_ignored(&mut self, now: Instant) -> bool {
        self.take_token(now) || self.is_tolerable()
    }

    fn take_token(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now).checked_add(self.refill).unwrap_or(now);
        if full_at.saturating_duration_since(now) > self.refill.saturating_mul(self.burst) {
            self.excess = self.excess.saturating_add(1);
            return false;
        }
        self.full_at = full_at;
        self.excess = 0;
        true
    }

    fn is_tolerable(&self) -> bool {
        self.excess <= self.max_excess
    }

    /// Takes the Pong that waits to be sent.
    pub(super) fn take(&mut self) -> bool {
        std::mem::take(&mut self.due)
    }
}
