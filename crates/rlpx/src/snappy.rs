//! Snappy's block format, with the checks that a stranger's payload needs.
//!
//! Source: [EIP-706](https://eips.ethereum.org/EIPS/eip-706) and snappy's
//! [format description](https://github.com/google/snappy/blob/main/format_description.txt).

use std::fmt;

use bytes::{Bytes, BytesMut};
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use crate::OpenError;

/// Above this size the encoder needs its large table of 32 KiB.
const SMALL_TABLE_SERVES: usize = 1024;

/// How many small messages in a row show that the large table is not needed any more. An idle
/// connection, which sends a ping every 15 s, gives it back after four minutes; a busy one does
/// not give it back and forth.
const SMALL_BEFORE_RELEASE: u8 = 16;

/// A payload that declares more than this many times its own size is walked through before
/// memory is taken for it. Ordinary data never does, so it does not pay for the walk.
const TRUSTED_RATIO: usize = 2;

/// Compresses a payload to hand it to [`Egress::seal_compressed`](crate::Egress::seal_compressed)
/// of many connections, or `None` for one of 4 GiB and more.
pub fn compress(payload: &[u8]) -> Option<Bytes> {
    Encoder::new().compress_vec(payload).ok().map(Bytes::from)
}

/// The most bytes that a payload of this size can take when compressed.
pub(crate) fn max_compressed_size(size: usize) -> usize {
    max_compress_len(size)
}

/// What a compressed payload says its size is.
pub(crate) fn declared_size(payload: &[u8]) -> Option<usize> {
    decompress_len(payload).ok()
}

/// Decompresses a payload of at most `limit` bytes.
///
/// Memory is taken only for a payload that really has the size it declares.
pub(crate) fn decompress(payload: &[u8], limit: usize) -> Result<Bytes, OpenError> {
    // The library reads an empty input as an empty payload, which is written as one zero byte.
    if payload.is_empty() {
        return Err(OpenError::Snappy);
    }
    let size = declared_size(payload).ok_or(OpenError::Snappy)?;
    if size > limit {
        return Err(OpenError::MessageTooLarge);
    }
    if size > payload.len().saturating_mul(TRUSTED_RATIO) && walk(payload) != Some(size) {
        return Err(OpenError::Snappy);
    }
    let mut plain = vec![0; size];
    match Decoder::new().decompress(payload, &mut plain) {
        Ok(written) if written == size => Ok(plain.into()),
        _ => Err(OpenError::Snappy),
    }
}

/// The size of what the elements of a valid payload make, without making it.
fn walk(payload: &[u8]) -> Option<usize> {
    let varint = payload.iter().position(|byte| byte & 0x80 == 0)?;
    let mut rest = payload.get(varint.checked_add(1)?..)?;
    let mut size = 0_usize;
    while let Some((&tag, after)) = rest.split_first() {
        let upper = usize::from(tag >> 2);
        let (length, offset, taken) = match tag & 0b11 {
            0b00 if upper < 60 => (upper.checked_add(1)?, None, 0),
            0b00 => {
                let width = upper.checked_sub(59)?;
                let length = little_endian(after.get(..width)?).checked_add(1)?;
                (length, None, width)
            }
            0b01 => {
                let low = little_endian(after.get(..1)?);
                let offset = usize::from(tag >> 5) << 8 | low;
                ((upper & 0b111).checked_add(4)?, Some(offset), 1)
            }
            0b10 => (upper.checked_add(1)?, Some(little_endian(after.get(..2)?)), 2),
            _ => (upper.checked_add(1)?, Some(little_endian(after.get(..4)?)), 4),
        };
        let literal = match offset {
            None => length,
            // A copy starts inside of what is there already.
            Some(offset) if offset == 0 || offset > size => return None,
            Some(_) => 0,
        };
        rest = after.get(taken.checked_add(literal)?..)?;
        size = size.checked_add(length)?;
    }
    Some(size)
}

fn little_endian(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte))
}

/// An encoder that does not keep its large table when there is no use for it.
pub(crate) struct Compressor {
    encoder: Box<Encoder>,
    has_large_table: bool,
    small_in_a_row: u8,
}

impl Compressor {
    /// Appends the compressed payload to `out`.
    pub(crate) fn compress(&mut self, payload: &[u8], out: &mut BytesMut) {
        self.release_large_table(payload.len());
        let start = out.len();
        out.resize(start.saturating_add(max_compressed_size(payload.len())), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        // Fails for payloads of 4 GiB only, which are above every limit.
        let written = self.encoder.compress(payload, room).unwrap_or(0);
        out.truncate(start.saturating_add(written));
    }

    fn release_large_table(&mut self, size: usize) {
        if size > SMALL_TABLE_SERVES {
            self.has_large_table = true;
            self.small_in_a_row = 0;
        } else if self.has_large_table {
            self.small_in_a_row = self.small_in_a_row.saturating_add(1);
            if self.small_in_a_row >= SMALL_BEFORE_RELEASE {
                *self = Self::default();
            }
        }
    }
}

impl Default for Compressor {
    fn default() -> Self {
        Self { encoder: Box::new(Encoder::new()), has_large_table: false, small_in_a_row: 0 }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compressor")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 0xff_ffff;

    #[test]
    fn bombs_are_refused_before_memory_is_taken() {
        let bombs: &[(&[u8], OpenError)] = &[
            // declares 4 GiB - 1
            (&[0xff, 0xff, 0xff, 0xff, 0x0f, 0x00], OpenError::MessageTooLarge),
            // declares more than 32 bits
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], OpenError::Snappy),
            // declares the limit, and holds nothing
            (&[0xff, 0xff, 0xff, 0x07], OpenError::Snappy),
            (&[0xff, 0xff, 0xff, 0x07, 0x00, 0x61], OpenError::Snappy),
            // declares the limit and one
            (&[0x80, 0x80, 0x80, 0x08, 0x00, 0x61], OpenError::MessageTooLarge),
            // an unfinished number, and nothing
            (&[0x80], OpenError::Snappy),
            (&[], OpenError::Snappy),
            // a copy from before the start
            (&[0x04, 0x01, 0x01], OpenError::Snappy),
            (&[0x40, 0x00, 0x61, 0x3a, 0x00, 0x00], OpenError::Snappy),
        ];
        for (bomb, error) in bombs {
            assert_eq!(decompress(bomb, LIMIT), Err(*error), "{bomb:02x?}");
        }
    }

    #[test]
    fn a_limit_holds_to_the_byte() {
        let payload = compress(&[7; 1000]).unwrap();
        assert_eq!(decompress(&payload, 1000).unwrap(), vec![7; 1000]);
        assert_eq!(decompress(&payload, 999), Err(OpenError::MessageTooLarge));
        assert_eq!(decompress(&[0], 0).unwrap(), Bytes::new());
    }

    #[test]
    fn the_large_table_goes_after_a_row_of_small_messages() {
        let mut compressor = Compressor::default();
        let mut out = BytesMut::new();
        compressor.compress(&[1; 5_000], &mut out);
        assert!(compressor.has_large_table);
        for _ in 1..SMALL_BEFORE_RELEASE {
            compressor.compress(&[1; 100], &mut out);
        }
        assert!(compressor.has_large_table);
        compressor.compress(&[1; 100], &mut out);
        assert!(!compressor.has_large_table);
    }

    fn elements() -> impl Strategy<Value = Vec<u8>> {
        // What is made of short pieces and repeats compresses into elements of every kind.
        prop::collection::vec((prop::collection::vec(any::<u8>(), 1..8), 1..40_usize), 0..40)
            .prop_map(|pieces| pieces.iter().flat_map(|(piece, n)| piece.repeat(*n)).collect())
    }

    proptest! {
        #[test]
        fn the_walk_agrees_with_the_decoder(
            plain in elements(),
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut payload = compress(&plain).unwrap().to_vec();
            prop_assert_eq!(walk(&payload), Some(plain.len()));
            for (at, with) in flips {
                let at = at.index(payload.len());
                payload[at] ^= with;
            }
            let declared = declared_size(&payload);
            prop_assume!(declared.is_none_or(|size| size <= LIMIT));
            let decoded = Decoder::new().decompress_vec(&payload).ok();
            let walked = walk(&payload).filter(|size| Some(*size) == declared);
            prop_assert_eq!(walked, decoded.map(|plain| plain.len()));
        }

        #[test]
        fn the_walk_of_anything_ends(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let declared = declared_size(&payload);
            prop_assume!(!payload.is_empty() && declared.is_none_or(|size| size <= LIMIT));
            let decoded = Decoder::new().decompress_vec(&payload).ok();
            let walked = walk(&payload).filter(|size| Some(*size) == declared);
            prop_assert_eq!(walked, decoded.map(|plain| plain.len()));
        }
    }
}
