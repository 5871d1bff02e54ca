use std::time::Duration;

use crate::Rng;

/// What a network does to datagrams on their way from one host to another.
///
/// Times are one-way. Probabilities are from 0 to 1, and independent for every datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// How long everything takes at least.
    pub latency: Duration,
    /// How much longer it may take, uniformly. Datagrams that are sent within this time of one
    /// another may come in any order.
    pub jitter: Duration,
    /// How likely a datagram is lost.
    pub loss: f64,
    /// How likely a datagram takes latency and jitter twice, so that later ones overtake it.
    pub reorder: f64,
    /// How likely a datagram comes twice. Both take their own time, neither is lost.
    pub duplicate: f64,
    /// The largest payload that passes, in bytes.
    pub mtu: usize,
}

impl Link {
    /// A link that only delays.
    pub const fn with_latency(latency: Duration) -> Self {
        Self {
            latency,
            jitter: Duration::ZERO,
            loss: 0.0,
            reorder: 0.0,
            duplicate: 0.0,
            mtu: ETHERNET,
        }
    }

    /// How long the next datagram takes.
    pub(crate) fn delay(&self, rng: &mut Rng) -> Duration {
        let mut delay = self.once(rng);
        if rng.chance(self.reorder) {
            delay = delay.saturating_add(self.once(rng));
        }
        delay
    }

    /// How long the next segment takes, if it waits for none.
    pub(crate) fn once(&self, rng: &mut Rng) -> Duration {
        match self.jitter {
            Duration::ZERO => self.latency,
            jitter => self.latency.saturating_add(rng.duration(jitter)),
        }
    }
}

/// 40 to 50 ms, and nothing else happens: a round trip within a continent or two.
impl Default for Link {
    fn default() -> Self {
        Self { jitter: Duration::from_millis(10), ..Self::with_latency(Duration::from_millis(40)) }
    }
}

/// 1,500 bytes of Ethernet less the headers of IPv4 and UDP.
const ETHERNET: usize = 1_472;
