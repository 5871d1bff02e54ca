use std::time::Duration;

/// The limits and intervals of a peer. The defaults are go-ethereum's where it has one.
///
/// Every field may be changed after `Config::default()`. A zero among the limits of the queues
/// counts as one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// How long both Hellos together may take. Default 5 s.
    pub hello_timeout: Duration,

    /// The longest time between two of our Pings; the next one comes after three quarters of it
    /// to all of it, drawn at random. Default 15 s.
    pub ping_interval: Duration,
    /// How long a remote may be silent after a Ping. Default 15 s.
    pub pong_timeout: Duration,
    /// How many Pings of the remote are answered at once. Pongs that answer nothing, and messages
    /// of the base protocol that are ignored, count as Pings here. Default 5.
    pub ping_burst: u32,
    /// After what time one more Ping of the remote is answered. Default 1 s.
    pub ping_refill: Duration,
    /// How many of them in a row may come faster than that, and go unanswered, before the remote
    /// is dropped. Default 256.
    pub ping_excess: u32,

    /// How many messages may wait for one subprotocol before reading from the peer pauses.
    /// Default 256.
    pub inbound_messages: usize,
    /// How many bytes may wait for one subprotocol before reading from the peer pauses; a message
    /// that goes beyond is still taken whole. Default 2 MiB.
    pub inbound_bytes: usize,
    /// How long reading may be paused because a subprotocol takes nothing, before the peer is
    /// dropped. Default 30 s.
    pub stall_timeout: Duration,
    /// How many messages of one subprotocol may wait to be sent. Default 256.
    pub outbound_messages: usize,
    /// How many bytes of one subprotocol may wait to be sent; a message that goes beyond is still
    /// taken whole. Default 2 MiB.
    pub outbound_bytes: usize,
    /// The largest payload that a subprotocol may send, in bytes. The default, 16 MiB less 1 KiB,
    /// leaves room in the largest frame for the id and for what compression adds to what cannot
    /// be compressed.
    pub max_message: usize,

    /// How long writing a Disconnect may take. Default 1 s.
    pub disconnect_write: Duration,
    /// How long the remote has to close after our Disconnect. Default 2 s, as the specification
    /// recommends.
    pub linger: Duration,
    /// Takes the place of both, if it is shorter, after [`Peer::stop`](crate::Peer::stop): a server
    /// that stops waits for its slowest peer. Default 500 ms.
    pub stop_linger: Duration,
    /// How long the remote's Disconnect is still waited for after writing has failed: a remote that
    /// sends its reason and closes makes our next write fail before we have read it. Default
    /// 500 ms.
    pub reason_wait: Duration,
    /// How long the subprotocols' tasks have to return once the peer is going, before they are
    /// aborted. Default 500 ms.
    pub task_grace: Duration,
    /// How long aborted tasks have to be dropped. One that blocks its thread cannot be aborted, and
    /// is not waited for any longer. Default 100 ms.
    pub abort_wait: Duration,

    /// The seed of the jitter of the Pings, for runs that can be repeated. Default `None`: from
    /// the operating system.
    pub seed: Option<[u8; 32]>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hello_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(15),
            pong_timeout: Duration::from_secs(15),
            ping_burst: 5,
            ping_refill: Duration::from_secs(1),
            ping_excess: 256,
            inbound_messages: 256,
            inbound_bytes: 2 * 1024 * 1024,
            stall_timeout: Duration::from_secs(30),
            outbound_messages: 256,
            outbound_bytes: 2 * 1024 * 1024,
            max_message: 16 * 1024 * 1024 - 1024,
            disconnect_write: Duration::from_secs(1),
            linger: Duration::from_secs(2),
            stop_linger: Duration::from_millis(500),
            reason_wait: Duration::from_millis(500),
            task_grace: Duration::from_millis(500),
            abort_wait: Duration::from_millis(100),
            seed: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every limit bounds what a remote can make this node hold or wait for; who weakens one does
    /// it here as well.
    #[test]
    fn defaults_are_safe() {
        let config = Config::default();
        assert!(config.hello_timeout <= Duration::from_secs(5));
        assert!(config.ping_interval <= Duration::from_secs(15));
        assert!(config.pong_timeout <= Duration::from_secs(15));
        assert!(config.ping_burst <= 5 && config.ping_refill >= Duration::from_secs(1));
        assert!(config.ping_excess <= 256);
        assert!(config.inbound_messages <= 256 && config.inbound_bytes <= 2 << 20);
        assert!(config.outbound_messages <= 256 && config.outbound_bytes <= 2 << 20);
        assert!(config.max_message < 1 << 24);
        assert!(config.stall_timeout <= Duration::from_secs(30));
        assert!(config.disconnect_write <= Duration::from_secs(1));
        assert!(config.linger <= Duration::from_secs(2));
        assert!(config.stop_linger <= Duration::from_millis(500));
        assert!(config.reason_wait <= Duration::from_millis(500));
        assert!(config.task_grace <= Duration::from_millis(500));
        assert!(config.abort_wait <= Duration::from_millis(100));
    }
}
