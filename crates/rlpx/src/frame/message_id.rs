//! The RLP of a message id: an unsigned integer in its shortest form.

/// The most bytes that an id takes.
pub(super) const MAX_SIZE: usize = 9;

/// An id's RLP.
pub(super) struct Encoded {
    bytes: [u8; MAX_SIZE],
    size: usize,
}

impl Encoded {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.size).unwrap_or_default()
    }
}

pub(super) fn encode(id: u64) -> Encoded {
    let mut bytes = [0; MAX_SIZE];
    if id < 0x80 {
        // Zero is the empty string.
        bytes[0] = if id == 0 { 0x80 } else { id.to_le_bytes()[0] };
        return Encoded { bytes, size: 1 };
    }
    let zeros = usize::try_from(id.leading_zeros() / 8).unwrap_or(0);
    let big_endian = id.to_be_bytes();
    let significant = big_endian.get(zeros..).unwrap_or_default();
    bytes[0] = 0x88_u8.saturating_sub(u8::try_from(zeros).unwrap_or(0));
    for (byte, digit) in bytes.iter_mut().skip(1).zip(significant) {
        *byte = *digit;
    }
    Encoded { bytes, size: significant.len().saturating_add(1) }
}

/// The id at the front of `body` and what follows it. Forms that are not the shortest are
/// refused, as go-ethereum refuses them.
pub(super) fn decode(body: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = body.split_first()?;
    match first {
        0x01..=0x7f => Some((u64::from(first), rest)),
        0x80 => Some((0, rest)),
        0x81..=0x88 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first.saturating_sub(0x80)))?;
            if digits.first() == Some(&0) {
                return None;
            }
            let id = digits.iter().fold(0_u64, |id, &digit| id << 8 | u64::from(digit));
            (id >= 0x80).then_some((id, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_every_width_come_back_and_match_the_rlp_crate() {
        let edges = (0..64).flat_map(|bit| {
            let power = 1_u64 << bit;
            [power - 1, power, power + 1]
        });
        for id in edges.chain([u64::MAX]) {
            let encoded = encode(id);
            assert_eq!(encoded.as_slice(), &*rlp::encode(&id), "{id:#x}");
            let mut body = encoded.as_slice().to_vec();
            body.extend_from_slice(b"payload");
            assert_eq!(decode(&body), Some((id, b"payload".as_slice())));
        }
    }

    #[test]
    fn longer_forms_lists_and_stumps_are_refused() {
        let bad: &[&[u8]] = &[
            &[],
            &[0x00],
            &[0x81],
            &[0x81, 0x00],
            &[0x81, 0x7f],
            &[0x82, 0x00, 0x80],
            &[0x82, 0x80],
            &[0x88, 1, 2, 3, 4, 5, 6, 7],
            &[0x89, 1, 2, 3, 4, 5, 6, 7, 8, 9],
            &[0xc0],
            &[0xff],
        ];
        for body in bad {
            assert_eq!(decode(body), None, "{body:02x?}");
        }
    }
}
