use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use devp2p_core::{LanPolicy, NodeId, RateLimiter, Rng, prefix_group};

use super::returning::Returning;
use crate::Config;

/// The rates at which we listen to others, and speak to those who have not proved that they are
/// there.
#[derive(Debug)]
pub(super) struct Limits {
    lan_policy: LanPolicy,
    strangers: RateLimiter,
    /// Has one key only.
    all_strangers: RateLimiter,
    returning: Returning,
    bonded: RateLimiter,
    bonded_prefixes: RateLimiter,
    /// Has one key only.
    all_bonded: RateLimiter,
    quiet: RateLimiter,
    /// Has one key only.
    all_quiet: RateLimiter,
    /// Apart, so that others do not push out the nodes of the table.
    quiet_in_table: RateLimiter,
    ping_backs: RateLimiter,
    hearsay: RateLimiter,
    records: RateLimiter,
    /// Has one key only.
    surplus: RateLimiter,
}

impl Limits {
    pub(super) fn new(config: &Config, rng: &mut Rng) -> Self {
        let keys = config.rate_keys;
        Self {
            lan_policy: config.lan_policy,
            strangers: RateLimiter::new(config.stranger_rate, keys, rng),
            all_strangers: RateLimiter::new(config.stranger_rate_total, 1, rng),
            returning: Returning::new(config, rng),
            bonded: RateLimiter::new(config.bonded_rate, keys, rng),
            bonded_prefixes: RateLimiter::new(config.bonded_prefix_rate, keys, rng),
            all_bonded: RateLimiter::new(config.bonded_rate_total, 1, rng),
            quiet: RateLimiter::new(config.quiet_rate, keys, rng),
            all_quiet: RateLimiter::new(config.quiet_rate_total, 1, rng),
            quiet_in_table: RateLimiter::new(config.quiet_rate, keys, rng),
            ping_backs: RateLimiter::new(config.ping_back_rate, keys, rng),
            hearsay: RateLimiter::new(config.hearsay_rate, keys, rng),
            records: RateLimiter::new(config.record_rate, keys, rng),
            surplus: RateLimiter::new(config.surplus_rate, 1, rng),
        }
    }

    /// Whether to listen to a packet from where nobody has proved to be.
    pub(super) fn stranger(&mut self, now: Instant, from: SocketAddr) -> bool {
        let (prefix, is_exempt) = (prefix_group(from.ip()), self.lan_policy.exempts(from.ip()));
        if !is_exempt && !self.strangers.would_allow(now, &prefix) {
            return false;
        }
        let admitted = self.all_strangers.allow(now, &()) || self.returning.allow(now, from);
        admitted && (is_exempt || self.strangers.allow(now, &prefix))
    }

    /// Whether to listen to a packet from where somebody has; `is_in_table` if it is from where a
    /// node of the table is.
    pub(super) fn bonded(&mut self, now: Instant, from: SocketAddr, is_in_table: bool) -> bool {
        let prefix = prefix_group(from.ip());
        self.lan_policy.exempts(from.ip())
            || self.bonded_prefixes.would_allow(now, &prefix)
                && self.bonded.allow(now, &from)
                && self.bonded_prefixes.allow(now, &prefix)
                && (self.quiet(now, from, is_in_table) || self.all_bonded.allow(now, &()))
    }

    /// Whether so little comes from there that no flood from elsewhere shall take its turn.
    fn quiet(&mut self, now: Instant, from: SocketAddr, is_in_table: bool) -> bool {
        if is_in_table {
            return self.quiet_in_table.allow(now, &from);
        }
        self.all_quiet.would_allow(now, &())
            && self.quiet.allow(now, &from)
            && self.all_quiet.allow(now, &())
    }

    /// Whether to send a PING to the sender of one.
    pub(super) fn ping_back(&mut self, now: Instant, ip: IpAddr) -> bool {
        self.lan_policy.exempts(ip) || self.ping_backs.allow(now, &prefix_group(ip))
    }

    /// Whether to look at one more answer to a question that had enough of them.
    pub(super) fn surplus(&mut self, now: Instant) -> bool {
        self.surplus.allow(now, &())
    }

    /// Whether to ask a node for its record because of the number that it tells.
    pub(super) fn record(&mut self, now: Instant, id: NodeId) -> bool {
        self.records.allow(now, &id)
    }

    /// Whether to send a PING to a node that is known only from others.
    pub(super) fn hearsay(&mut self, now: Instant, ip: IpAddr) -> bool {
        self.lan_policy.exempts(ip) || self.hearsay.allow(now, &host_group(ip))
    }
}

/// What is counted as one address: of IPv6 a /64, in which one host has as many as it likes.
fn host_group(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}
