use std::fmt;

use data_encoding::{DecodeKind, HEXLOWER, HEXLOWER_PERMISSIVE};

/// Reads exactly `N` bytes as hex digits, with or without 0x.
pub(crate) fn parse<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let wrong_length =
        || format!("has {} hex digits instead of {}", digits.len(), N.saturating_mul(2));
    match HEXLOWER_PERMISSIVE.decode(digits.as_bytes()) {
        Ok(bytes) => bytes.try_into().map_err(|_| wrong_length()),
        Err(error) if error.kind == DecodeKind::Length => Err(wrong_length()),
        Err(_) => Err("has a character that is not a hex digit".to_owned()),
    }
}

/// Prints bytes as hex digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints_and_nothing_else() {
        let bytes = [0x00, 0x7f, 0xa0, 0xff];
        assert_eq!(Hex(&bytes).to_string(), "007fa0ff");
        assert_eq!(parse("007fa0ff"), Ok(bytes));
        assert_eq!(parse("0x007FA0FF"), Ok(bytes));
        for bad in ["", "007fa0f", "007fa0ff0", "007fa0fg", "+07fa0ff", "\u{660}07fa0ff"] {
            assert!(parse::<4>(bad).is_err(), "{bad}");
        }
    }
}
