//! Strangers who were too many, and come again.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::SocketAddr,
    time::Instant,
};

use devp2p_core::{LanPolicy, Rate, RateLimiter, Rng, prefix_group};

use crate::Config;

/// The senders that [`Refused`] knows: those of seven seconds where 20,000 packets come in one.
const REFUSED_SENDERS: usize = 1 << 17;
/// How many of them share one set.
const WAYS: usize = 4;
/// The prefixes whose rate is kept: as many as it takes to use up that of all.
const PREFIXES: usize = 4_096;

/// Whom to listen to beyond the rate of all strangers, because they come again. Every packet of a
/// flood may have another sender, and then a node that means well has no better chance than any of
/// them; but it comes again.
#[derive(Debug)]
pub(super) struct Returning {
    lan_policy: LanPolicy,
    rate: Rate,
    rate_total: Rate,
    rng: Rng,
    /// 384 KiB, from the first flood on.
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    refused: Refused,
    prefixes: RateLimiter,
    /// Has one key only.
    all: RateLimiter,
}

impl Returning {
    pub(super) fn new(config: &Config, rng: &mut Rng) -> Self {
        Self {
            lan_policy: config.lan_policy,
            rate: config.returning_rate,
            rate_total: config.returning_rate_total,
            rng: Rng::from_seed(rng.seed()),
            known: None,
        }
    }

    /// A packet is too much; whether to listen to it nevertheless.
    pub(super) fn allow(&mut self, now: Instant, from: SocketAddr) -> bool {
        let Self { rate, rate_total, rng, .. } = self;
        let Known { refused, prefixes, all } = self.known.get_or_insert_with(|| Known {
            refused: Refused::new(rng),
            prefixes: RateLimiter::new(*rate, PREFIXES, rng),
            all: RateLimiter::new(*rate_total, 1, rng),
        });
        let is_exempt = self.lan_policy.exempts(from.ip());
        refused.note(from)
            && all.would_allow(now, &())
            && (is_exempt || prefixes.allow(now, &prefix_group(from.ip())))
            && all.allow(now, &())
    }
}

/// Who was refused last, each in two bytes: one of 16,000 others is taken for somebody known.
#[derive(Debug)]
struct Refused {
    secret: [u8; 16],
    /// The newest of each set is its first; 0 is nobody.
    sets: Vec<[u16; WAYS]>,
}

impl Refused {
    fn new(rng: &mut Rng) -> Self {
        let mut secret = [0; 16];
        rng.fill(&mut secret);
        Self { secret, sets: vec![[0; WAYS]; REFUSED_SENDERS / WAYS] }
    }

    /// Notes that a sender is refused, and says whether it was before.
    fn note(&mut self, from: SocketAddr) -> bool {
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
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;

    fn sender(number: u32) -> SocketAddr {
        (Ipv4Addr::from_bits(number), 30303).into()
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
    fn a_thousand_prefixes_that_come_again_and_again_leave_room_for_others() {
        let config = Config { lan_policy: LanPolicy::Limit, ..Config::default() };
        let mut returning = Returning::new(&config, &mut Rng::from_seed([5; 32]));
        #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
        let mut now = Instant::now();
        let mut flood = |returning: &mut Returning, packets: u32| {
            let allowed = (0..packets).filter(|&number| {
                now += Duration::from_micros(50);
                returning.allow(now, sender(number % 1_000 * 256))
            });
            (allowed.count(), now)
        };
        flood(&mut returning, 80_000);
        let (allowed, _) = flood(&mut returning, 80_000);
        assert!((1_000..3_500).contains(&allowed), "each of them, and not 4,000: {allowed}");
        for number in 0..10 {
            let honest = sender(9_000_000 + number * 256);
            let (_, now) = flood(&mut returning, 1_000);
            assert!(!returning.allow(now, honest));
            let (_, now) = flood(&mut returning, 10_000);
            assert!(returning.allow(now, honest), "{number}");
        }
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
