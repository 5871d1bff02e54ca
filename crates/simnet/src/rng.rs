use std::time::Duration;

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// The randomness of a [`World`](crate::World): ChaCha20 from its seed.
///
/// [`World::rng`](crate::World::rng) lends it, so that whatever a test chooses at random comes from
/// the one seed too.
pub struct Rng(ChaCha20Rng);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        for (byte, from) in bytes.iter_mut().zip(seed.to_le_bytes()) {
            *byte = from;
        }
        Self(ChaCha20Rng::from_seed(bytes))
    }

    /// A seed for a machine.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }

    /// A uniform `u64`.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..bound`, or 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True with this probability. What is certain takes nothing from the sequence.
    pub fn chance(&mut self, probability: f64) -> bool {
        probability >= 1.0 || (probability > 0.0 && self.unit() < probability)
    }

    /// A uniform duration in `0..limit`.
    pub fn duration(&mut self, limit: Duration) -> Duration {
        Duration::from_nanos(self.below(nanos(limit)))
    }

    /// An exponentially distributed duration, as the time until something that may happen at any
    /// moment.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.unit()).ln())
    }

    /// In `0.0..1.0`, with the 53 bits of an `f64`.
    fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl std::fmt::Debug for Rng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rng(..)")
    }
}

/// A time of the virtual clock. 584 years is never.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
