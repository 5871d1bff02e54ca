//! One lane in one vector register of 128 bits, on processors with AVX-512VL.
//!
//! The whole state stays in the 32 registers and a rotation is one instruction, which beats the
//! general registers by a quarter although half of every vector is idle.

use fearless_simd::{Avx512, prelude::*, u64x2};

use super::permutation::{self, Block, LANES, Lane, State};

impl Lane for u64x2<Avx512> {}

fearless_simd::kernel!(
    pub(super) fn absorb_vl(token: Avx512, state: &mut State, blocks: &[Block]) {
        let mut lanes = load(token, state);
        for block in blocks {
            lanes = permutation::permute(permutation::absorb(lanes, block));
        }
        store(state, lanes);
    }
);

fearless_simd::kernel!(
    pub(super) fn permute_vl(token: Avx512, state: &mut State) {
        store(state, permutation::permute(load(token, state)));
    }
);

#[inline(always)]
fn load(token: Avx512, state: &State) -> [u64x2<Avx512>; LANES] {
    let mut lanes = [u64x2::splat(token, 0); LANES];
    for (lane, word) in lanes.iter_mut().zip(state) {
        *lane = u64x2::splat(token, *word);
    }
    lanes
}

#[inline(always)]
fn store(state: &mut State, lanes: [u64x2<Avx512>; LANES]) {
    for (word, lane) in state.iter_mut().zip(lanes) {
        *word = <[u64; 2]>::from(lane)[0];
    }
}
