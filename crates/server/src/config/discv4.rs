//! What cannot work in the options of discovery v4.

use devp2p_discv4::Config;

/// The options that are 0 and must not be, by name. Rates are not among them: an interval of 0 says
/// that there is no limit.
pub(super) fn zeros(config: &Config) -> Vec<&'static str> {
    let (table, lookup) = (&config.table, &config.lookup);
    let times = [
        ("discv4.request_timeout", config.request_timeout),
        ("discv4.proof_timeout", config.proof_timeout),
        ("discv4.packet_lifetime", config.packet_lifetime),
        ("discv4.bond_expiry", config.bond_expiry),
        ("discv4.random_lookup_interval", config.random_lookup_interval),
        ("discv4.refresh_interval", config.refresh_interval),
        ("discv4.empty_refresh_interval", config.empty_refresh_interval),
        ("discv4.table.fast_interval", table.fast_interval),
        ("discv4.table.slow_interval", table.slow_interval),
        ("discv4.table.check_timeout", table.check_timeout),
        ("discv4.table.pin_interval", table.pin_interval),
    ];
    let counts = [
        ("discv4.max_bonds", config.max_bonds),
        ("discv4.max_bonds_per_prefix", config.max_bonds_per_prefix),
        ("discv4.max_bonds_per_lan_prefix", config.max_bonds_per_lan_prefix),
        ("discv4.max_requests", config.max_requests),
        ("discv4.max_ping_backs", config.max_ping_backs),
        ("discv4.rate_keys", config.rate_keys),
        ("discv4.max_lookups", config.max_lookups),
        ("discv4.max_waiting_lookups", config.max_waiting_lookups),
        ("discv4.max_events", config.max_events),
        ("discv4.table.bucket_size", table.bucket_size),
        ("discv4.table.bucket_group_limit", table.bucket_group_limit),
        ("discv4.table.table_group_limit", table.table_group_limit),
        ("discv4.table.max_pins", table.max_pins),
        ("discv4.lookup.parallelism", lookup.parallelism),
        ("discv4.lookup.results", lookup.results),
        ("discv4.lookup.answer_limit", lookup.answer_limit),
        ("discv4.lookup.max_endpoints", lookup.max_endpoints),
        ("discv4.lookup.max_requests", lookup.max_requests),
        ("discv4.lookup.max_nodes", lookup.max_nodes),
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
            "discv4.request_timeout",
            "discv4.random_lookup_interval",
            "discv4.max_requests",
            "discv4.table.bucket_size",
            "discv4.lookup.parallelism",
        ];
        assert_eq!(zeros(&config), expected);
    }
}
