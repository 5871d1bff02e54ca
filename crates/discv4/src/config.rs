use std::time::Duration;

use devp2p_core::{Family, LanPolicy, NetRestrict, Node, Rate};

/// What a [`Discv4`](crate::Discv4) is told at its start. The defaults are safe; where the
/// specification or go-ethereum has a value, it is that one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The nodes to begin with. They are never forgotten, and tried again within a minute for ever
    /// while they do not answer.
    pub bootstrap_nodes: Vec<Node>,
    /// Where set, only nodes in these networks are spoken to, listened to and told of.
    pub net_restrict: Option<NetRestrict>,
    /// Where set, only nodes with addresses of this family are: that of a socket that reaches no
    /// other; see [`Socket::family`](crate::Socket::family).
    pub family: Option<Family>,
    /// Whether limits by address hold in local networks too.
    pub lan_policy: LanPolicy,
    /// The limits and intervals of the table.
    pub table: devp2p_kad::Config,
    /// The limits of a lookup.
    pub lookup: devp2p_kad::LookupConfig,

    /// How long to wait for an answer. 500 ms.
    pub request_timeout: Duration,
    /// How much longer to wait for more nodes after a part of an answer to FINDNODE. 100 ms: the
    /// parts are sent at once, so that only reordering on the way separates them.
    pub neighbors_pause: Duration,
    /// How long a node that we are about to ask has for its PING, after it answered ours; in
    /// answering it we prove our endpoint. 500 ms: whoever needs the proof asks for it at once.
    pub proof_timeout: Duration,
    /// The pause between that answer and what we ask. 20 ms: if the two change places on the way,
    /// the question comes from a node without proof, and is lost.
    pub proof_delay: Duration,
    /// For how long a packet of ours is valid. 20 s.
    pub packet_lifetime: Duration,
    /// For how long a proof of an endpoint is valid. 12 h.
    pub bond_expiry: Duration,

    /// The proofs that are kept. 8,192: thirty times the table, in about a megabyte.
    pub max_bonds: usize,
    /// The proofs that are kept of nodes in one prefix. 64: a house, not a street.
    pub max_bonds_per_prefix: usize,
    /// The same, in a local network that is exempt from the limits by address. 512: an office, or a
    /// test network in one machine, and a sixteenth of all.
    pub max_bonds_per_lan_prefix: usize,
    /// The requests of our own that wait for an answer at once. 1,024: more than all lookups and
    /// the table need together.
    pub max_requests: usize,
    /// The PINGs in answer to PINGs that wait for an answer at once. 4,096: more than the rate of
    /// all strangers makes in the time of a request, so that forged ones do not crowd out others.
    pub max_ping_backs: usize,
    /// The packets of all senders in one prefix who have not proved their endpoint: 30 a second,
    /// and 120 at once.
    pub stranger_rate: Rate,
    /// The packets of all senders who have not proved their endpoint, those in local networks, too.
    /// 1,500 a second, and 500 at once. Each may cost the recovery of a signature and two of our
    /// own, about 80 us, so whoever forges senders can make us compute for an eighth of a core; to
    /// drop what is beyond that, at 20,000 packets a second, takes another.
    pub stranger_rate_total: Rate,
    /// Beyond that, the packets of senders to whom that rate was refused a moment before. 1,000 a
    /// second, for a twelfth of a core: a flood from senders that are ever new has none of them, but
    /// a node that means well asks again when it has no answer.
    pub returning_rate_total: Rate,
    /// The same, of those in one prefix. One in 4 s: enough for a node to prove itself, and it takes
    /// 4,000 prefixes to use up what there is for all.
    pub returning_rate: Rate,
    /// The packets of an endpoint that is proved. 60 a second, and 120 at once: several lookups.
    pub bonded_rate: Rate,
    /// The packets of all proved endpoints in one prefix. 240 a second, and 480 at once: else whoever
    /// proves all ports of an address has the answers of a network. They are 40 KB of questions
    /// and make us send 360.
    pub bonded_prefix_rate: Rate,
    /// The packets of all proved endpoints outside of local networks, beyond what is kept for those
    /// that send little. 1,000 a second: whoever knows where the nodes of our table are can forge
    /// packets from all of them, and each of these costs the recovery of a signature, about 35 us.
    pub bonded_rate_total: Rate,
    /// What is kept for each proved endpoint, if it sends no more. 2 a second, and 4 at once: a
    /// node that looks around. Each node of the table has it in any case, so that they have 544 a
    /// second at most; the others together have the rate below.
    pub quiet_rate: Rate,
    /// The packets of all proved endpoints of no node of the table, as far as each sends little.
    /// 500 a second, and 1,000 at once: 250 of them. With the two above it makes 2,044 in all, for a
    /// 14th of a core.
    pub quiet_rate_total: Rate,
    /// PINGs in answer to PINGs, to one prefix. 5 a second, and 20 at once: a house full of nodes
    /// that start together. With it a forged PING brings its victim 2.1 times the bytes of what
    /// usual clients send, and up to 2.8 times those of the smallest possible one; without it, where
    /// there are more, 1.3 times.
    pub ping_back_rate: Rate,
    /// PINGs to nodes that are known only from others, to one IP address; of IPv6, to one /64. One a
    /// second.
    pub hearsay_rate: Rate,
    /// How often a node is asked for its record because it tells a new number. Once a minute, and
    /// twice at once, as a packet may be lost: whoever tells false numbers has us ask in vain.
    pub record_rate: Rate,
    /// The answers to open questions beyond the few that each of those has. 1,000 a second: forged
    /// ones do not suppress the true one, and cost a 25th of a core at most.
    pub surplus_rate: Rate,
    /// For how many senders each of these rates is kept. 1,024, in 32 bytes each; a flood from
    /// more makes them forget some.
    pub rate_keys: usize,

    /// The lookups that run at once. 8.
    pub max_lookups: usize,
    /// The lookups that wait for their turn. 64: after those comes
    /// [`RequestError::Busy`](crate::RequestError::Busy).
    pub max_waiting_lookups: usize,
    /// The least time between the starts of two random lookups. 1 s.
    pub random_lookup_interval: Duration,
    /// The longest time between two refreshes of the table; the shortest is half of it. 30 min.
    pub refresh_interval: Duration,
    /// The random lookups in a refresh, beside that for our own id. 3.
    pub refresh_lookups: usize,
    /// The time between two refreshes while the table is empty. 10 s.
    pub empty_refresh_interval: Duration,

    /// Whether nodes that come to us get places in the table only after our first refresh, as in
    /// go-ethereum. Yes: else whoever floods a node that starts takes all places before that has
    /// asked anybody.
    pub newcomers_wait: bool,
    /// Whether the records of the nodes in the table are fetched, and fetched again when they
    /// change.
    pub request_records: bool,
    /// A node that passed more checks than this is worth remembering. 5.
    pub remember_checks: u32,
    /// So is one that has been in the table for this long; and after this long it is remembered
    /// again. 30 min.
    pub remember_interval: Duration,
    /// The events that wait to be polled; the oldest are lost beyond it. 4,096: many more than one
    /// call makes.
    pub max_events: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bootstrap_nodes: Vec::new(),
            net_restrict: None,
            family: None,
            lan_policy: LanPolicy::Exempt,
            table: devp2p_kad::Config::default(),
            lookup: devp2p_kad::LookupConfig::default(),
            request_timeout: Duration::from_millis(500),
            neighbors_pause: Duration::from_millis(100),
            proof_timeout: Duration::from_millis(500),
            proof_delay: Duration::from_millis(20),
            packet_lifetime: Duration::from_secs(20),
            bond_expiry: Duration::from_hours(12),
            max_bonds: 8_192,
            max_bonds_per_prefix: 64,
            max_bonds_per_lan_prefix: 512,
            max_requests: 1_024,
            max_ping_backs: 4_096,
            stranger_rate: rate(30, 120),
            stranger_rate_total: rate(1_500, 500),
            returning_rate_total: rate(1_000, 1_000),
            returning_rate: Rate { interval: Duration::from_secs(4), burst: 1 },
            bonded_rate: rate(60, 120),
            bonded_prefix_rate: rate(240, 480),
            bonded_rate_total: rate(1_000, 1_000),
            quiet_rate: rate(2, 4),
            quiet_rate_total: rate(500, 1_000),
            ping_back_rate: rate(5, 20),
            hearsay_rate: rate(1, 1),
            record_rate: Rate { interval: Duration::from_mins(1), burst: 2 },
            surplus_rate: rate(1_000, 1_000),
            rate_keys: 1_024,
            max_lookups: 8,
            max_waiting_lookups: 64,
            random_lookup_interval: Duration::from_secs(1),
            refresh_interval: Duration::from_mins(30),
            refresh_lookups: 3,
            empty_refresh_interval: Duration::from_secs(10),
            newcomers_wait: true,
            request_records: true,
            remember_checks: 5,
            remember_interval: Duration::from_mins(30),
            max_events: 4_096,
        }
    }
}

fn rate(per_second: u32, burst: u32) -> Rate {
    Rate { burst, ..Rate::per_second(per_second) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What keeps strangers from doing harm. Whoever weakens one of these has to say so here.
    #[test]
    fn the_defaults_are_safe() {
        let config = Config::default();
        assert_eq!(config.bond_expiry, Duration::from_hours(12));
        assert_eq!(config.request_timeout, Duration::from_millis(500));
        assert_eq!(config.packet_lifetime, Duration::from_secs(20));
        assert_eq!(config.hearsay_rate, rate(1, 1));
        assert_eq!(config.surplus_rate, rate(1_000, 1_000));
        assert_eq!(
            (config.record_rate.interval, config.record_rate.burst),
            (Duration::from_mins(1), 2)
        );
        assert_eq!(config.stranger_rate, rate(30, 120));
        assert_eq!(
            (config.bonded_rate, config.bonded_prefix_rate),
            (rate(60, 120), rate(240, 480))
        );
        assert_eq!(config.bonded_rate_total, rate(1_000, 1_000));
        assert_eq!((config.quiet_rate, config.quiet_rate_total), (rate(2, 4), rate(500, 1_000)));
        assert_eq!(config.ping_back_rate, rate(5, 20));
        assert_eq!(config.stranger_rate_total, rate(1_500, 500));
        assert_eq!(config.returning_rate_total, rate(1_000, 1_000));
        assert_eq!(config.returning_rate.interval, Duration::from_secs(4));
        assert_eq!((config.max_bonds, config.max_bonds_per_prefix), (8_192, 64));
        assert_eq!(config.max_bonds_per_lan_prefix, 512);
        assert!(config.newcomers_wait);
        assert_eq!((config.table.bucket_group_limit, config.table.table_group_limit), (2, 10));
        assert_eq!((config.lookup.parallelism, config.lookup.results), (3, 16));
        assert_eq!(config.random_lookup_interval, Duration::from_secs(1));
        assert_eq!(config.remember_checks, 5);
        // As many as come in the time of a request.
        assert!(config.max_ping_backs >= (1_500 + 1_000) / 2 + 500 + 1_000);
    }
}
