use std::time::Duration;

/// The times of port mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// For how long a mapping is asked for. Default 10 min, as geth: what a node that crashed
    /// leaves behind is soon gone.
    pub lease: Duration,
    /// How long after it was granted a mapping is refreshed. Where the gateway grants a shorter
    /// lease, as long before its end, but not before three quarters of it. Default 8 min.
    pub refresh: Duration,
    /// How long after a failure a gateway is searched again, or a socket that is not mapped. A
    /// refresh that failed is tried again earlier, while the lease lasts. Default 5 min.
    pub retry: Duration,
    /// How often the external address is asked for. Default 2 min.
    pub address_interval: Duration,
    /// After how many requests in a row that failed a gateway is searched anew. Default 3.
    pub failures: u32,
    /// How long a gateway is left alone after each request. Default 200 ms, as geth: home routers
    /// are slow.
    pub gap: Duration,
    /// How long any one request may take, whatever the gateway does. Default 10 s.
    pub request_timeout: Duration,
    /// How long the end of all mappings may take at the stop. Default 1.5 s.
    pub stop_patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lease: Duration::from_mins(10),
            refresh: Duration::from_mins(8),
            retry: Duration::from_mins(5),
            address_interval: Duration::from_mins(2),
            failures: 3,
            gap: Duration::from_millis(200),
            request_timeout: Duration::from_secs(10),
            stop_patience: Duration::from_millis(1_500),
        }
    }
}
