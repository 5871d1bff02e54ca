use std::time::Duration;

/// The largest frame: its size is written in 24 bits.
pub const MAX_FRAME_SIZE: usize = 0xff_ffff;

/// The largest message before [`Connection::established`](devp2p_core::Connection::established):
/// a stranger gets no more memory than a Hello or a Disconnect needs. Messages of the base
/// protocol, with ids below 0x10, are held to it afterwards too.
pub const MAX_EARLY_MESSAGE_SIZE: usize = 2 * 1024;

/// Limits and deadlines of a connection. The defaults are safe and are go-ethereum's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// How long the whole handshake may take: 5 s.
    pub handshake_timeout: Duration,
    /// The largest message payload, uncompressed, in bytes, in either direction once the
    /// connection is established: 2^24 - 1, and never more than that.
    pub max_message_size: usize,
    /// How long one whole message may be waited for: 30 s.
    pub read_timeout: Duration,
    /// Back-pressure: the sink is ready while fewer sealed bytes than this wait to be written.
    /// 64 KiB, beyond which larger writes gain nothing. One message may overshoot it.
    pub write_buffer: usize,
    /// How long sealed bytes may wait while the stream takes none of them: 20 s.
    pub write_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(5),
            max_message_size: MAX_FRAME_SIZE,
            read_timeout: Duration::from_secs(30),
            write_buffer: 64 * 1024,
            write_timeout: Duration::from_secs(20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Defaults are what keeps strangers out of a node's memory and time: a change is a decision.
    #[test]
    fn the_defaults_are_go_ethereums() {
        let config = Config::default();
        assert_eq!(config.handshake_timeout, Duration::from_secs(5));
        assert_eq!(config.max_message_size, 0xff_ffff);
        assert_eq!(config.read_timeout, Duration::from_secs(30));
        assert_eq!(config.write_buffer, 65_536);
        assert_eq!(config.write_timeout, Duration::from_secs(20));
        assert_eq!(MAX_EARLY_MESSAGE_SIZE, 2048);
        assert_eq!(MAX_FRAME_SIZE, 0xff_ffff);
    }
}
