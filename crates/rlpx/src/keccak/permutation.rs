//! The permutation `Keccak-f[1600]`, written once for every kind of lane.
//!
//! The code is straight-line on purpose: loops over the lanes are two to four times slower,
//! because the compiler does not unroll them. For the same reason everything here is
//! `inline(always)`: the body has to end up inside the function that carries the target features.
//! Only plain xor, and-not and shifts are written; the compiler picks better instructions from
//! them (`vprolq`, and `vpternlog` where it pays) than explicit intrinsics name.

use std::ops::{BitAnd, BitOr, BitXor, Not, Shl, Shr};

/// The number of lanes of 64 bits.
pub(super) const LANES: usize = 25;

/// The lanes that take input: the rate of Keccak-256, 1088 bits.
pub(super) const RATE_LANES: usize = 17;

/// The rate in bytes: the size of a block.
pub(super) const RATE: usize = RATE_LANES * 8;

/// The state as it lies in memory: every lane little-endian, so that the bytes of the state are
/// in the order in which input meets them.
pub(super) type State = [u64; LANES];

/// One block of input.
pub(super) type Block = [u8; RATE];

/// A lane: a `u64`, or a vector that carries one.
pub(super) trait Lane:
    Copy
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + BitXor<u64, Output = Self>
    + Not<Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
{
}

/// Reads the lanes of `block` and xors them into the state.
#[inline(always)]
pub(super) fn absorb<L: Lane>(mut a: [L; LANES], block: &Block) -> [L; LANES] {
    let (words, _) = block.as_chunks::<8>();
    for (lane, word) in a.iter_mut().zip(words) {
        *lane = *lane ^ u64::from_le_bytes(*word);
    }
    a
}

/// All 24 rounds.
#[inline(always)]
pub(super) fn permute<L: Lane>(mut a: [L; LANES]) -> [L; LANES] {
    for constant in ROUND_CONSTANTS {
        a = round(a, constant);
    }
    a
}

#[inline(always)]
fn round<L: Lane>(a: [L; LANES], constant: u64) -> [L; LANES] {
    // theta
    let c0 = a[0] ^ a[5] ^ a[10] ^ a[15] ^ a[20];
    let c1 = a[1] ^ a[6] ^ a[11] ^ a[16] ^ a[21];
    let c2 = a[2] ^ a[7] ^ a[12] ^ a[17] ^ a[22];
    let c3 = a[3] ^ a[8] ^ a[13] ^ a[18] ^ a[23];
    let c4 = a[4] ^ a[9] ^ a[14] ^ a[19] ^ a[24];
    let d0 = c4 ^ rotate(c1, 1);
    let d1 = c0 ^ rotate(c2, 1);
    let d2 = c1 ^ rotate(c3, 1);
    let d3 = c2 ^ rotate(c4, 1);
    let d4 = c3 ^ rotate(c0, 1);

    // rho and pi choose and turn the five lanes of a row; chi mixes the row
    let [e0, e1, e2, e3, e4] = chi([
        a[0] ^ d0,
        rotate(a[6] ^ d1, 44),
        rotate(a[12] ^ d2, 43),
        rotate(a[18] ^ d3, 21),
        rotate(a[24] ^ d4, 14),
    ]);
    let [e5, e6, e7, e8, e9] = chi([
        rotate(a[3] ^ d3, 28),
        rotate(a[9] ^ d4, 20),
        rotate(a[10] ^ d0, 3),
        rotate(a[16] ^ d1, 45),
        rotate(a[22] ^ d2, 61),
    ]);
    let [e10, e11, e12, e13, e14] = chi([
        rotate(a[1] ^ d1, 1),
        rotate(a[7] ^ d2, 6),
        rotate(a[13] ^ d3, 25),
        rotate(a[19] ^ d4, 8),
        rotate(a[20] ^ d0, 18),
    ]);
    let [e15, e16, e17, e18, e19] = chi([
        rotate(a[4] ^ d4, 27),
        rotate(a[5] ^ d0, 36),
        rotate(a[11] ^ d1, 10),
        rotate(a[17] ^ d2, 15),
        rotate(a[23] ^ d3, 56),
    ]);
    let [e20, e21, e22, e23, e24] = chi([
        rotate(a[2] ^ d2, 62),
        rotate(a[8] ^ d3, 55),
        rotate(a[14] ^ d4, 39),
        rotate(a[15] ^ d0, 41),
        rotate(a[21] ^ d1, 2),
    ]);

    // iota
    let e0 = e0 ^ constant;
    [
        e0, e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, e11, e12, e13, e14, e15, e16, e17, e18, e19,
        e20, e21, e22, e23, e24,
    ]
}

#[inline(always)]
fn chi<L: Lane>([b0, b1, b2, b3, b4]: [L; 5]) -> [L; 5] {
    [b0 ^ (!b1 & b2), b1 ^ (!b2 & b3), b2 ^ (!b3 & b4), b3 ^ (!b4 & b0), b4 ^ (!b0 & b1)]
}

/// A rotation to the left by `count`, which is in 1..=63.
#[inline(always)]
fn rotate<L: Lane>(lane: L, count: u32) -> L {
    (lane << count) | (lane >> (64 - count))
}

const ROUND_CONSTANTS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];
