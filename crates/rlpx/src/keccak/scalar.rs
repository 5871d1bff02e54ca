//! One lane in one general register.

use super::permutation::{self, Block, LANES, Lane, State};

impl Lane for u64 {}

/// Absorbs whole blocks with what every processor has.
pub(super) fn absorb_soft(state: &mut State, blocks: &[Block]) {
    absorb(state, blocks);
}

/// Permutes the state with what every processor has.
pub(super) fn permute_soft(state: &mut State) {
    permute(state);
}

// The same code for processors with BMI (x86-64-v3): `andn` and `rorx` save a fifth.
fearless_simd::kernel!(
    pub(super) fn absorb_bmi(token: Avx2, state: &mut State, blocks: &[Block]) {
        absorb(state, blocks);
    }
);

fearless_simd::kernel!(
    pub(super) fn permute_bmi(token: Avx2, state: &mut State) {
        permute(state);
    }
);

#[inline(always)]
fn absorb(state: &mut State, blocks: &[Block]) {
    let mut lanes = load(state);
    for block in blocks {
        lanes = permutation::permute(permutation::absorb(lanes, block));
    }
    store(state, lanes);
}

#[inline(always)]
fn permute(state: &mut State) {
    store(state, permutation::permute(load(state)));
}

#[inline(always)]
fn load(state: &State) -> [u64; LANES] {
    state.map(u64::from_le)
}

#[inline(always)]
fn store(state: &mut State, lanes: [u64; LANES]) {
    *state = lanes.map(u64::to_le);
}
