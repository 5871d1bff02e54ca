use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use devp2p_core::{LanPolicy, RateLimiter, Rng, prefix_group};

use crate::Config;

/// The rates at which we listen to others, and speak to those who have not proved that they are
/// there.
#[derive(Debug)]
pub(super) struct Limits {
    lan_policy: LanPolicy,
    strangers: RateLimiter,
    /// Has one key only.
    all_strangers: RateLimiter,
    bonded: RateLimiter,
    ping_backs: RateLimiter,
    hearsay: RateLimiter,
}

impl Limits {
    pub(super) fn new(config: &Config, rng: &mut Rng) -> Self {
        let keys = config.rate_keys;
        Self {
            lan_policy: config.lan_policy,
            strangers: RateLimiter::new(config.stranger_rate, keys, rng),
            all_strangers: RateLimiter::new(config.stranger_rate_total, 1, rng),
            bonded: RateLimiter::new(config.bonded_rate, keys, rng),
            ping_backs: RateLimiter::new(config.ping_back_rate, keys, rng),
            hearsay: RateLimiter::new(config.hearsay_rate, keys, rng),
        }
    }

    /// Whether to listen to a packet from where nobody has proved to be.
    pub(super) fn stranger(&mut self, now: Instant, ip: IpAddr) -> bool {
        self.lan_policy.exempts(ip)
            || self.all_strangers.would_allow(now, &())
                && self.strangers.allow(now, &prefix_group(ip))
                && self.all_strangers.allow(now, &())
    }

    /// Whether to listen to a packet from where somebody has.
    pub(super) fn bonded(&mut self, now: Instant, endpoint: SocketAddr) -> bool {
        self.lan_policy.exempts(endpoint.ip()) || self.bonded.allow(now, &endpoint)
    }

    /// Whether to send a PING to the sender of one.
    pub(super) fn ping_back(&mut self, now: Instant, ip: IpAddr) -> bool {
        self.lan_policy.exempts(ip) || self.ping_backs.allow(now, &prefix_group(ip))
    }

    /// Whether to send a PING to a node that is known only from others.
    pub(super) fn hearsay(&mut self, now: Instant, ip: IpAddr) -> bool {
        self.lan_policy.exempts(ip) || self.hearsay.allow(now, &ip)
    }
}
