//! What cannot work in the options of discovery v5.

use devp2p_discv5::Config;

/// The options that are 0 and must not be, by name. Rates are not among them: an interval of 0 says
/// that there is no limit.
pub(super) fn zeros(config: &Config) -> Vec<&'static str> {
    let (table, lookup) = (&config.table, &config.lookup);
    let times = [
        ("discv5.request_timeout", config.request_timeout),
        ("discv5.nodes_timeout", config.nodes_timeout),
        ("discv5.challenge_timeout", config.challenge_timeout),
        ("discv5.talk_timeout", config.talk_timeout),
        ("discv5.random_lookup_interval", config.random_lookup_interval),
        ("discv5.refresh_interval", config.refresh_interval),
        ("discv5.empty_refresh_interval", config.empty_refresh_interval),
        ("discv5.table.fast_interval", table.fast_interval),
        ("discv5.table.slow_interval", table.slow_interval),
        ("discv5.table.check_timeout", table.check_timeout),
        ("discv5.table.pin_interval", table.pin_interval),
    ];
    let counts = [
        ("discv5.max_sessions", config.max_sessions),
        ("discv5.max_challenges", config.max_challenges),
        ("discv5.max_requests", config.max_requests),
        ("discv5.max_requests_per_peer", config.max_requests_per_peer),
        ("discv5.max_talks", config.max_talks),
        ("discv5.stranger_prefixes", config.stranger_prefixes),
        ("discv5.rate_keys", config.rate_keys),
        ("discv5.max_records", config.max_records),
        ("discv5.max_lookups", config.max_lookups),
        ("discv5.max_waiting_lookups", config.max_waiting_lookups),
        ("discv5.max_events", config.max_events),
        ("discv5.table.bucket_size", table.bucket_size),
        ("discv5.table.bucket_group_limit", table.bucket_group_limit),
        ("discv5.table.table_group_limit", table.table_group_limit),
        ("discv5.table.max_pins", table.max_pins),
        ("discv5.lookup.parallelism", lookup.parallelism),
        ("discv5.lookup.results", lookup.results),
        ("discv5.lookup.answer_limit", lookup.answer_limit),
        ("discv5.lookup.max_requests", lookup.max_requests),
        ("discv5.lookup.max_nodes", lookup.max_nodes),
    ];
    let times = times.into_iter().map(|(name, time)| (name, time.is_zero()));
    let all = times.chain(counts.into_iter().map(|(name, count)| (name, count == 0)));
    all.filter(|&(_, is_zero)| is_zero).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_zero_is_told() {
        assert_eq!(zeros(&Config::default()), [""; 0]);
        let mut config = Config::default();
        config.request_timeout = Duration::ZERO;
        config.random_lookup_interval = Duration::ZERO;
        config.max_requests = 0;
        config.table.bucket_size = 0;
        config.lookup.parallelism = 0;
        let expected = [
            "discv5.request_timeout",
            "discv5.random_lookup_interval",
            "discv5.max_requests",
            "discv5.table.bucket_size",
            "discv5.lookup.parallelism",
        ];
        assert_eq!(zeros(&config), expected);
    }
}
