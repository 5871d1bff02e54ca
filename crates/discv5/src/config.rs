use std::time::Duration;

use devp2p_core::{Family, LanPolicy, NetRestrict, Node, Rate};

use crate::wire::ProtocolId;

/// What a [`Discv5`](crate::Discv5) is told at its start. The defaults are safe; where the
/// specification or go-ethereum has a value, it is that one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Which network of nodes it is; others do not see us.
    pub protocol: ProtocolId,
    /// The nodes to begin with. They are never forgotten, and tried again within a minute for ever
    /// while they do not answer.
    pub bootstrap_nodes: Vec<Node>,
    /// Where set, only nodes in these networks are spoken to, listened to and told of.
    pub net_restrict: Option<NetRestrict>,
    /// Where set, only nodes with addresses of this family are: that of a socket that reaches no
    /// other.
    pub family: Option<Family>,
    /// Whether limits by address hold in local networks too.
    pub lan_policy: LanPolicy,
    /// The limits and intervals of the table.
    pub table: devp2p_kad::Config,
    /// The limits of a lookup.
    pub lookup: devp2p_kad::LookupConfig,

    /// How long to wait for an answer. 500 ms. It begins anew when a handshake has to come first,
    /// so that one takes a second in all; and with each part of an answer to FINDNODE.
    pub request_timeout: Duration,
    /// How long to wait for all parts of an answer to FINDNODE. 2 s.
    pub nodes_timeout: Duration,
    /// For how long a WHOAREYOU of ours may be answered. 1 s.
    pub challenge_timeout: Duration,
    /// For how long a TALKREQ waits for the answer of the user; then an empty one is sent. 400 ms.
    pub talk_timeout: Duration,

    /// The sessions that are kept. 1,000.
    pub max_sessions: usize,
    /// The WHOAREYOUs that can be open at once. 16,384, in 2.3 MiB, which is taken when the first is
    /// sent and never grows: where all senders are forged, one lives for as long as it takes to send
    /// us four times as many packets.
    pub max_challenges: usize,
    /// The requests of our own that wait for an answer at once. 4,096: all lookups and the table
    /// need a hundred, the rest is for TALKREQ.
    pub max_requests: usize,
    /// Those of them to one node at an endpoint. 256.
    pub max_requests_per_peer: usize,
    /// The TALKREQs that wait for the answer of the user at once. 1,024: others are answered with
    /// nothing at once.
    pub max_talks: usize,
    /// The packets that cannot be opened, of all senders in one prefix: 30 a second, and 120 at
    /// once. Each may be answered with a WHOAREYOU, which is smaller.
    pub stranger_rate: Rate,
    /// For how many prefixes that rate is kept. 65,536, in 2 MiB: a flood from random prefixes must
    /// not be faster than they forget, or nobody new is heard.
    pub stranger_prefixes: usize,
    /// The handshakes of all senders that are checked, those in local networks, too. 1,000 a
    /// second, and 250 at once: each costs a signature or two and a multiplication, about 100 us.
    pub handshake_rate_total: Rate,
    /// The requests of a node in a session. 60 a second, and 120 at once: several lookups.
    pub session_rate: Rate,
    /// The requests of all nodes in sessions in one prefix. 240 a second, and 480 at once.
    pub session_prefix_rate: Rate,
    /// The packets to nodes that are known only from others, to one IP address; of IPv6, to one /64.
    /// One a second: else a record that names a victim has all who are told of it knock there.
    pub hearsay_rate: Rate,
    /// How often a node is asked for its record because it tells a new number. Once a minute, and
    /// twice at once, as a packet may be lost: whoever tells false numbers has us ask in vain.
    pub record_rate: Rate,
    /// For how many senders each of the other rates is kept. 1,024, in 32 bytes each.
    pub rate_keys: usize,
    /// The records that were verified and are kept, so that none is verified twice. 4,096, in
    /// about 2 MiB at most.
    pub max_records: usize,

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
            protocol: ProtocolId::default(),
            bootstrap_nodes: Vec::new(),
            net_restrict: None,
            family: None,
            lan_policy: LanPolicy::Exempt,
            table: devp2p_kad::Config::default(),
            lookup: devp2p_kad::LookupConfig::default(),
            request_timeout: Duration::from_millis(500),
            nodes_timeout: Duration::from_secs(2),
            challenge_timeout: Duration::from_secs(1),
            talk_timeout: Duration::from_millis(400),
            max_sessions: 1_000,
            max_challenges: 16_384,
            max_requests: 4_096,
            max_requests_per_peer: 256,
            max_talks: 1_024,
            stranger_rate: rate(30, 120),
            stranger_prefixes: 65_536,
            handshake_rate_total: rate(1_000, 250),
            session_rate: rate(60, 120),
            session_prefix_rate: rate(240, 480),
            hearsay_rate: rate(1, 1),
            record_rate: Rate { interval: Duration::from_mins(1), burst: 2 },
            rate_keys: 1_024,
            max_records: 4_096,
            max_lookups: 8,
            max_waiting_lookups: 64,
            random_lookup_interval: Duration::from_secs(1),
            refresh_interval: Duration::from_mins(30),
            refresh_lookups: 3,
            empty_refresh_interval: Duration::from_secs(10),
            newcomers_wait: true,
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
        assert_eq!(config.protocol, ProtocolId::new(*b"discv5"));
        assert_eq!(config.request_timeout, Duration::from_millis(500));
        assert_eq!(config.challenge_timeout, Duration::from_secs(1));
        assert_eq!(config.talk_timeout, Duration::from_millis(400));
        assert_eq!(config.nodes_timeout, Duration::from_secs(2));
        assert_eq!((config.max_sessions, config.max_challenges), (1_000, 16_384));
        assert_eq!((config.max_requests, config.max_requests_per_peer), (4_096, 256));
        assert_eq!(config.max_talks, 1_024);
        assert_eq!(config.stranger_rate, rate(30, 120));
        assert_eq!(config.hearsay_rate, rate(1, 1));
        assert_eq!(config.handshake_rate_total, rate(1_000, 250));
        assert_eq!(
            (config.session_rate, config.session_prefix_rate),
            (rate(60, 120), rate(240, 480))
        );
        assert_eq!(
            (config.record_rate.interval, config.record_rate.burst),
            (Duration::from_mins(1), 2)
        );
        assert!(config.newcomers_wait);
        assert_eq!((config.table.bucket_group_limit, config.table.table_group_limit), (2, 10));
        assert_eq!((config.lookup.parallelism, config.lookup.results), (3, 16));
        assert_eq!(config.random_lookup_interval, Duration::from_secs(1));
        assert_eq!(config.remember_checks, 5);
    }
}
