use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use zeroize::Zeroizing;

/// The randomness of a machine: ChaCha20 from a seed that the caller chose.
///
/// Two machines with one seed and one input make the same choices, so that a failing run can be
/// repeated. Drivers seed it from the operating system with [`Rng::from_os`].
///
/// A machine that lives long calls [`Rng::rekey`] after it drew a secret, so that its later state
/// does not tell the earlier secret. The state is erased when it is dropped or replaced.
pub struct Rng(ChaCha20Rng);

impl Rng {
    /// A generator that repeats itself for the same `seed`. Who keeps the seed erases it.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        // Must not erase its argument: called through closures with equal constants, the compiler
        // lets both calls share the array, and the second would be seeded with zeros
        // (rust-lang/rust#155241).
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// A generator seeded by the operating system; for drivers.
    ///
    /// # Errors
    /// When the operating system gives no entropy.
    pub fn from_os() -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut())?;
        Ok(Self::from_seed(*seed))
    }

    /// Replaces the state by one drawn from it: what was drawn before cannot be computed again.
    pub fn rekey(&mut self) {
        let mut seed = Zeroizing::new([0; 32]);
        self.fill(seed.as_mut());
        *self = Self::from_seed(*seed);
    }

    /// A seed for another machine. Nobody erases it; secrets are drawn with [`fill`](Rng::fill).
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        seed
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A uniform `u64`.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..bound`, or 0 where `bound` is 0.
    ///
    /// The bias of the multiplication is below `bound / 2^64`, which no caller here can notice.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()).wrapping_mul(u128::from(bound));
        u64::try_from(wide >> 64).unwrap_or(0)
    }
}

impl std::fmt::Debug for Rng {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rng(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_sequence() {
        let (mut a, mut b) = (Rng::from_seed([7; 32]), Rng::from_seed([7; 32]));
        assert_eq!(
            (0..9).map(|_| a.next_u64()).collect::<Vec<_>>(),
            (0..9).map(|_| b.next_u64()).collect::<Vec<_>>()
        );
        assert_ne!(Rng::from_seed([8; 32]).next_u64(), Rng::from_seed([7; 32]).next_u64());
    }

    /// RFC 8439, appendix A.1, test vectors 1 and 2: what a seed gives never changes.
    #[test]
    fn the_sequence_is_chacha20s() {
        let mut bytes = [0; 72];
        Rng::from_seed([0; 32]).fill(&mut bytes);
        assert_eq!(bytes[..8], [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
        assert_eq!(bytes[64..], [0x9f, 0x07, 0xe7, 0xbe, 0x55, 0x51, 0x38, 0x7a]);
    }

    #[test]
    fn the_state_is_erased_on_drop() {
        const fn erases<T: zeroize::ZeroizeOnDrop>(_: &T) {}
        erases(&Rng::from_seed([1; 32]).0);
    }

    #[test]
    fn a_seed_is_used_as_given() {
        let draw = |seed| Rng::from_seed(seed).next_u64();
        assert_eq!((draw([1; 32]), draw([1; 32])), (draw([1; 32]), draw([1; 32])));
        assert_ne!((draw([1; 32]), draw([1; 32])), (draw([0; 32]), draw([0; 32])));
        assert_eq!(draw([1; 32]), Rng::from_seed([1; 32]).next_u64());
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut rng = Rng::from_seed([1; 32]);
        assert_eq!(rng.below(0), 0);
        let mut seen = [0_u32; 5];
        for _ in 0..1_000 {
            seen[usize::try_from(rng.below(5)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
    }

    #[test]
    fn rekeying_leaves_the_old_sequence() {
        let (mut a, mut b) = (Rng::from_seed([7; 32]), Rng::from_seed([7; 32]));
        a.rekey();
        assert_ne!(a.next_u64(), b.next_u64());
    }
}
