//! Keccak-256 as RLPx uses it: a running state that is fed for the life of a connection and whose
//! digest is taken, without ending it, three times a frame.
//!
//! This hash is what a frame costs, so the permutation has kernels for what the processor offers.
//! [`Backend::detect`] chooses one when a codec is made; nothing is global. For hashes of one
//! piece take the crate `sha3`, against which this one is tested.

mod permutation;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod vl;

use std::fmt;

use zeroize::Zeroize as _;

use permutation::{Block, RATE, State};

/// Which kernel computes the permutation.
#[derive(Clone, Copy)]
pub struct Backend(Kernel);

#[derive(Clone, Copy)]
enum Kernel {
    /// One lane in a 128-bit register; needs AVX-512VL (Ice Lake, Zen 4 and later).
    #[cfg(target_arch = "x86_64")]
    Avx512Vl(fearless_simd::Avx512),
    /// General registers with BMI1 and BMI2; needs x86-64-v3 (Haswell, Zen and later).
    #[cfg(target_arch = "x86_64")]
    Bmi(fearless_simd::Avx2),
    /// General registers.
    Soft,
}

impl Backend {
    /// The fastest kernel for the processor this runs on.
    pub fn detect() -> Self {
        // The order matters. In a program built for a processor with AVX-512 the compiler
        // vectorises the scalar kernels, which halves their speed, so they come after.
        #[cfg(target_arch = "x86_64")]
        if let Some(level) = fearless_simd::Level::try_detect() {
            if let Some(token) = level.as_avx512() {
                return Self(Kernel::Avx512Vl(token));
            }
            if let Some(token) = level.as_avx2() {
                return Self(Kernel::Bmi(token));
            }
        }
        Self::soft()
    }

    /// The kernel that runs everywhere.
    pub const fn soft() -> Self {
        Self(Kernel::Soft)
    }

    /// Every kernel that the processor can run, the fastest first: for tests and benchmarks.
    pub fn available() -> Vec<Self> {
        let mut backends = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if let Some(level) = fearless_simd::Level::try_detect() {
            backends.extend(level.as_avx512().map(|token| Self(Kernel::Avx512Vl(token))));
            backends.extend(level.as_avx2().map(|token| Self(Kernel::Bmi(token))));
        }
        backends.push(Self::soft());
        backends
    }

    /// A short name: `avx512vl`, `bmi` or `soft`.
    pub const fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512Vl(_) => "avx512vl",
            #[cfg(target_arch = "x86_64")]
            Kernel::Bmi(_) => "bmi",
            Kernel::Soft => "soft",
        }
    }

    fn absorb(self, state: &mut State, blocks: &[Block]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512Vl(token) => vl::absorb_vl(token, state, blocks),
            #[cfg(target_arch = "x86_64")]
            Kernel::Bmi(token) => scalar::absorb_bmi(token, state, blocks),
            Kernel::Soft => scalar::absorb_soft(state, blocks),
        }
    }

    fn permute(self, state: &mut State) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512Vl(token) => vl::permute_vl(token, state),
            #[cfg(target_arch = "x86_64")]
            Kernel::Bmi(token) => scalar::permute_bmi(token, state),
            Kernel::Soft => scalar::permute_soft(state),
        }
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({})", self.name())
    }
}

/// A running Keccak-256 (the original padding 0x01, not SHA-3's 0x06).
///
/// Its state authenticates frames, so it is erased on drop and `Debug` does not show it.
#[derive(Clone)]
pub struct Keccak256 {
    state: State,
    /// How many bytes of the current block are taken: always below [`RATE`].
    position: usize,
    backend: Backend,
}

impl Keccak256 {
    /// An empty hash, computed by `backend`.
    pub const fn new(backend: Backend) -> Self {
        Self { state: [0; permutation::LANES], position: 0, backend }
    }

    /// Takes more input.
    pub fn update(&mut self, mut input: &[u8]) {
        if self.position > 0 {
            let (head, rest) = input.split_at(input.len().min(RATE.saturating_sub(self.position)));
            self.xor(head);
            input = rest;
            if self.position < RATE {
                return;
            }
            self.backend.permute(&mut self.state);
            self.position = 0;
        }
        let (blocks, tail) = input.as_chunks::<RATE>();
        if !blocks.is_empty() {
            self.backend.absorb(&mut self.state, blocks);
        }
        self.xor(tail);
    }

    /// The hash of everything so far; more input may follow.
    pub fn digest(&self) -> [u8; 32] {
        let mut state = self.state;
        let bytes: &mut [u8] = bytemuck::bytes_of_mut(&mut state);
        if let Some(byte) = bytes.get_mut(self.position) {
            *byte ^= 0x01;
        }
        if let Some(byte) = bytes.get_mut(RATE - 1) {
            *byte ^= 0x80;
        }
        self.backend.permute(&mut state);
        let [a, b, c, d, ..] = state;
        bytemuck::cast([a, b, c, d])
    }

    /// Which kernel this one uses.
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// Xors `input`, which fits, into the current block.
    fn xor(&mut self, input: &[u8]) {
        let state: &mut [u8] = bytemuck::bytes_of_mut(&mut self.state);
        let block = state.get_mut(self.position..).unwrap_or_default();
        for (byte, input) in block.iter_mut().zip(input) {
            *byte ^= input;
        }
        self.position = self.position.saturating_add(input.len());
    }
}

impl Drop for Keccak256 {
    fn drop(&mut self) {
        self.state.zeroize();
    }
}

impl fmt::Debug for Keccak256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keccak256({}, state redacted)", self.backend.name())
    }
}

#[cfg(test)]
mod tests {
    use devp2p_core::Rng;
    use sha3::Digest as _;

    use super::*;

    #[test]
    fn every_kernel_agrees_with_sha3_at_every_length_and_split() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut input = [0; 600];
        for backend in Backend::available() {
            for length in 0..=input.len() {
                rng.fill(&mut input);
                let input = &input[..length];
                let mut ours = Keccak256::new(backend);
                let mut theirs = sha3::Keccak256::new();
                let mut rest = input;
                while !rest.is_empty() {
                    let at = usize::try_from(rng.below(rest.len() as u64 + 1)).unwrap();
                    let (head, tail) = rest.split_at(at);
                    ours.update(head);
                    theirs.update(head);
                    // a digest on the way does not disturb what follows
                    assert_eq!(ours.digest(), <[u8; 32]>::from(theirs.clone().finalize()));
                    rest = tail;
                }
                assert_eq!(ours.digest(), <[u8; 32]>::from(sha3::Keccak256::digest(input)));
                let mut whole = Keccak256::new(backend);
                whole.update(input);
                assert_eq!(whole.digest(), ours.digest(), "{backend:?} at {length}");
            }
        }
    }

    /// Under any other choice some processors run at half speed, which no other test would see.
    /// The standard library says what the processor has, not the one who chooses the kernel.
    #[test]
    fn detection_prefers_avx512vl_then_bmi() {
        // AVX-512 as of Ice Lake and Zen 4, which are the first that have all of these.
        #[cfg(target_arch = "x86_64")]
        let expected = if is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("avx512bitalg")
            && is_x86_feature_detected!("gfni")
            && is_x86_feature_detected!("vaes")
        {
            "avx512vl"
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") {
            "bmi"
        } else {
            "soft"
        };
        #[cfg(not(target_arch = "x86_64"))]
        let expected = "soft";
        assert_eq!(Backend::detect().name(), expected);
        assert_eq!(Backend::available().first().unwrap().name(), expected);
        assert_eq!(format!("{:?}", Backend::detect()), format!("Backend({expected})"));
    }

    #[test]
    fn debug_shows_no_state() {
        let mut hash = Keccak256::new(Backend::soft());
        hash.update(b"secret");
        assert_eq!(format!("{hash:?}"), "Keccak256(soft, state redacted)");
    }
}
