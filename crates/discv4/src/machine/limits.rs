use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use devp2p_core::{LanPolicy, NodeId, RateLimiter, Rng, prefix_group};

use crate::Config;

/// The senders that [`Refused`] knows: those of eight seconds where 20,000 packets come in one. They
/// take 256 KiB, from the first flood on.
const REFUSED_SENDERS: usize = 1 << 17;
/// How many of them share one set.
const WAYS: usize = 4;

/// The rates at which we listen to others, and speak to those who have not proved that they are
/// there.
#[derive(Debug)]
pub(super) struct Limits {
    lan_policy: LanPolicy,
    strangers: RateLimiter,
    /// Has one key only.
    all_strangers: RateLimiter,
    refused: Refused,
    returning: RateLimiter,
    /// Has one key only.
    all_returning: RateLimiter,
    bonded: RateLimiter,
    bonded_prefixes: RateLimiter,
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
            refused: Refused::new(rng),
            returning: RateLimiter::new(config.returning_rate, keys, rng),
            all_returning: RateLimiter::new(config.returning_rate_total, 1, rng),
            bonded: RateLimiter::new(config.bonded_rate, keys, rng),
            bonded_prefixes: RateLimiter::new(config.bonded_prefix_rate, keys, rng),
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
        let admitted = self.all_strangers.allow(now, &()) || self.returning(now, from);
        admitted && (is_exempt || self.strangers.allow(now, &prefix))
    }

    /// Whether to listen to a packet that is too much, because its sender comes again. Every packet
    /// of a flood may have another sender, and then a node that means well has no better chance
    /// than any of them; but it comes again.
    fn returning(&mut self, now: Instant, from: SocketAddr) -> bool {
        let prefix = prefix_group(from.ip());
        self.refused.note(from)
            && self.all_returning.would_allow(now, &())
            && (self.lan_policy.exempts(from.ip()) || self.returning.allow(now, &prefix))
            && self.all_returning.allow(now, &())
    }

    /// Whether to listen to a packet from where somebody has.
    pub(super) fn bonded(&mut self, now: Instant, endpoint: SocketAddr) -> bool {
        let prefix = prefix_group(endpoint.ip());
        self.lan_policy.exempts(endpoint.ip())
            || self.bonded_prefixes.would_allow(now, &prefix)
                && self.bonded.allow(now, &endpoint)
                && self.bonded_prefixes.allow(now, &prefix)
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

/// Who was refused last, each in two bytes: one of 16,000 others is taken for somebody known.
#[derive(Debug)]
struct Refused {
    secret: [u8; 16],
    /// The newest of each set is its first; 0 is nobody. Empty until somebody is refused.
    sets: Vec<[u16; WAYS]>,
}

impl Refused {
    fn new(rng: &mut Rng) -> Self {
        let mut secret = [0; 16];
        rng.fill(&mut secret);
        Self { secret, sets: Vec::new() }
    }

    /// Notes that a sender is refused, and says whether it was before.
    fn note(&mut self, from: SocketAddr) -> bool {
        if self.sets.is_empty() {
            self.sets = vec![[0; WAYS]; REFUSED_SENDERS / WAYS];
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.secret);
        from.hash(&mut hasher);
        let [a, b, rest @ ..] = hasher.finish().to_be_bytes();
        let (tag, rest) = (u16::from_be_bytes([a, b]).max(1), rest.map(usize::from));
        let place = rest.into_iter().fold(0_usize, |place, byte| place << 8 | byte);
        let Some(set) = self.sets.get_mut(place % (REFUSED_SENDERS / WAYS)) else { return false };
        let known = set.iter().position(|&known| known == tag);
        // The others move up to where it was, or push out the oldest.
        let mut moved = tag;
        for slot in set.iter_mut().take(known.map_or(WAYS, |at| at + 1)) {
            std::mem::swap(slot, &mut moved);
        }
        known.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(number: u32) -> SocketAddr {
        (std::net::Ipv4Addr::from_bits(number), 30303).into()
    }

    #[test]
    fn who_was_refused_is_known_until_many_others_were() {
        let mut refused = Refused::new(&mut Rng::from_seed([3; 32]));
        assert!((0..20_000).filter(|&number| refused.note(sender(number))).count() <= 5);
        let known = (0..20_000).filter(|&number| refused.note(sender(number))).count();
        assert!(known > 19_800, "after a second: {known}");
        let new = (1_000_000..2_000_000).filter(|&number| refused.note(sender(number))).count();
        assert!(new < 200, "{new} were taken for others");
        let known = (0..20_000).filter(|&number| refused.note(sender(number))).count();
        assert!(known < 200, "after a minute: {known}");
        assert_eq!(refused.sets.len() * size_of::<[u16; WAYS]>(), 256 << 10);
    }

    #[test]
    fn who_comes_again_and_again_stays_known() {
        let mut refused = Refused::new(&mut Rng::from_seed([4; 32]));
        refused.note(sender(1));
        for second in 1..60 {
            (0..10_000).for_each(|number| _ = refused.note(sender(second * 10_000 + number)));
            assert!(refused.note(sender(1)), "{second}");
        }
    }
}
