use std::{net::SocketAddr, time::Instant};

use devp2p_core::{LanPolicy, NodeId, Rate, RateLimiter, Rng, prefix_group};

use super::Peer;
use crate::{Config, DropCause};

/// The rates at which we listen to others.
#[derive(Debug)]
pub(super) struct Limits {
    lan_policy: LanPolicy,
    strangers: Strangers,
    /// Has one key only.
    handshakes: RateLimiter,
    sessions: RateLimiter,
    session_prefixes: RateLimiter,
    records: RateLimiter,
}

/// Large, and of no use where all are neighbours: made when it is needed.
#[derive(Debug)]
struct Strangers {
    rate: Rate,
    prefixes: usize,
    limiter: Option<RateLimiter>,
}

impl Limits {
    pub(super) fn new(config: &Config, rng: &mut Rng) -> Self {
        let keys = config.rate_keys;
        let (rate, prefixes) = (config.stranger_rate, config.stranger_prefixes);
        Self {
            lan_policy: config.lan_policy,
            strangers: Strangers { rate, prefixes, limiter: None },
            handshakes: RateLimiter::new(config.handshake_rate_total, 1, rng),
            sessions: RateLimiter::new(config.session_rate, keys, rng),
            session_prefixes: RateLimiter::new(config.session_prefix_rate, keys, rng),
            records: RateLimiter::new(config.record_rate, keys, rng),
        }
    }

    /// Whether to deal with a packet from there that nothing opens.
    pub(super) fn stranger(&mut self, now: Instant, from: SocketAddr, rng: &mut Rng) -> bool {
        if self.lan_policy.exempts(from.ip()) {
            return true;
        }
        let Strangers { rate, prefixes, limiter } = &mut self.strangers;
        let limiter = limiter.get_or_insert_with(|| RateLimiter::new(*rate, *prefixes, rng));
        limiter.allow(now, &prefix_group(from.ip()))
    }

    /// Whether to check a handshake from there. The share of its prefix comes first, so that nobody
    /// uses up what there is for all.
    pub(super) fn handshake(
        &mut self,
        now: Instant,
        from: SocketAddr,
        rng: &mut Rng,
    ) -> Result<(), DropCause> {
        if !self.stranger(now, from, rng) {
            return Err(DropCause::StrangerRate);
        }
        self.handshakes.allow(now, &()).then_some(()).ok_or(DropCause::HandshakeRate)
    }

    /// Whether to serve one more request in a session.
    pub(super) fn session(&mut self, now: Instant, peer: &Peer) -> bool {
        if self.lan_policy.exempts(peer.endpoint.ip()) {
            return true;
        }
        let prefix = prefix_group(peer.endpoint.ip());
        self.session_prefixes.would_allow(now, &prefix)
            && self.sessions.allow(now, peer)
            && self.session_prefixes.allow(now, &prefix)
    }

    /// Whether to ask a node for its record because of the number that it tells.
    pub(super) fn record(&mut self, now: Instant, id: NodeId) -> bool {
        self.records.allow(now, &id)
    }
}
