//! Who may open a connection to us how often.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use devp2p_core::{LanPolicy, NetRestrict, Prefix, Rate, RateLimiter, Rng, prefix_group};

/// Places for addresses in the table. An address takes one when its connection was let in, so a
/// network fills no more than 8 a second; what is remembered for 30 s is about 270 new addresses a
/// second, and with more of them those that connected longest ago are forgotten. 256 KiB.
const ADDRESSES: usize = 8_192;

/// Places for prefixes; a bucket drains within a second. 32 KiB.
const PREFIXES: usize = 1_024;

/// The limits on inbound connections by address. All but the one on peers are checked before a byte
/// is read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InboundLimits {
    /// One connection from an IPv4 address or an IPv6 /64 within this time (geth's
    /// `inboundThrottleTime`, 30 s). Zero switches the limit off.
    pub per_address: Duration,
    /// Set-ups a second from one /24 or /48, and as many at once.
    pub per_prefix: u32,
    /// Inbound peers of one /24 or /48, the trusted not counted: so many hosts of others fill the
    /// inbound slots, not so many keys.
    ///
    /// It is held at both checkpoints, when the remote has proved its key: before that nobody knows
    /// whether it is a trusted node.
    pub peers_per_prefix: usize,
    /// Addresses that these limits do not concern.
    pub lan_policy: LanPolicy,
    /// The only networks that may connect, where it is set.
    pub net_restrict: Option<NetRestrict>,
}

impl Default for InboundLimits {
    fn default() -> Self {
        Self {
            per_address: Duration::from_secs(30),
            per_prefix: 8,
            peers_per_prefix: 2,
            lan_policy: LanPolicy::default(),
            net_restrict: None,
        }
    }
}

/// Why an inbound connection is closed before a byte of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Unwelcome {
    /// The address is banned.
    Banned,
    /// The address is outside of the networks that `net_restrict` names.
    NetRestrict,
    /// The address connected a short while ago.
    TooManyAttempts,
    /// Too many set-ups from the same /24 or /48.
    TooManyFromPrefix,
    /// The server is stopping.
    Stopped,
}

impl std::fmt::Display for Unwelcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Banned => "banned",
            Self::NetRestrict => "not in the netrestrict list",
            Self::TooManyAttempts => "too many attempts",
            Self::TooManyFromPrefix => "too many set-ups from this prefix",
            Self::Stopped => "server stopped",
        })
    }
}

impl std::error::Error for Unwelcome {}

#[derive(Debug)]
pub(super) struct InboundThrottle {
    limits: InboundLimits,
    addresses: RateLimiter,
    prefixes: RateLimiter,
}

impl InboundThrottle {
    pub(super) fn new(limits: InboundLimits, rng: &mut Rng) -> Self {
        let per_address = Rate { interval: limits.per_address, burst: 1 };
        Self {
            addresses: RateLimiter::new(per_address, ADDRESSES, rng),
            prefixes: RateLimiter::new(Rate::per_second(limits.per_prefix), PREFIXES, rng),
            limits,
        }
    }

    pub(super) fn check(&mut self, now: Instant, ip: IpAddr) -> Result<(), Unwelcome> {
        let ip = ip.to_canonical();
        if self.limits.net_restrict.as_ref().is_some_and(|list| !list.contains(ip)) {
            return Err(Unwelcome::NetRestrict);
        }
        if self.limits.lan_policy.exempts(ip) {
            return Ok(());
        }
        // What one address tries too often is not taken from its neighbours, and what its
        // neighbours try too often costs an address neither its token nor the table a place.
        let subscriber = subscriber(ip);
        if !self.addresses.would_allow(now, &subscriber) {
            return Err(Unwelcome::TooManyAttempts);
        }
        if !self.prefixes.allow(now, &prefix_group(ip)) {
            return Err(Unwelcome::TooManyFromPrefix);
        }
        self.addresses.allow(now, &subscriber);
        Ok(())
    }

    /// The network in which a connection from this address takes a place, unless it is exempt.
    pub(super) fn prefix(&self, ip: IpAddr) -> Option<Prefix> {
        let ip = ip.to_canonical();
        (!self.limits.lan_policy.exempts(ip)).then(|| prefix_group(ip))
    }

    /// Whether so many inbound peers of one network are all that there may be.
    pub(super) const fn is_full(&self, peers: usize) -> bool {
        peers >= self.limits.peers_per_prefix
    }
}

/// What one subscriber can change at will is not part of the key: the lower half of an IPv6
/// address.
fn subscriber(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}
