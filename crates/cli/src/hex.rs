use std::{fmt, str::FromStr};

use bytes::Bytes;
use data_encoding::{DecodeKind, HEXLOWER, HEXLOWER_PERMISSIVE};

/// Reads exactly `N` bytes as hex digits, with or without 0x.
pub(crate) fn parse<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let wrong_length =
        || format!("has {} hex digits instead of {}", digits.len(), N.saturating_mul(2));
    match HEXLOWER_PERMISSIVE.decode(digits.as_bytes()) {
        Ok(bytes) => bytes.try_into().map_err(|_| wrong_length()),
        Err(error) if error.kind == DecodeKind::Length => Err(wrong_length()),
        Err(_) => Err(NOT_A_DIGIT.to_owned()),
    }
}

const NOT_A_DIGIT: &str = "has a character that is not a hex digit";

/// Prints bytes as hex digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(self.0).fmt(f)
    }
}

/// Bytes for people: as text where they are printable ASCII, else as hex digits after 0x. So are those
/// that are none, and a text that begins with 0x.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextOrHex(pub(crate) Bytes);

impl FromStr for TextOrHex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(digits) = text.strip_prefix("0x") else {
            return Ok(Self(Bytes::copy_from_slice(text.as_bytes())));
        };
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|error| {
            let odd = || format!("has an odd number of hex digits, {}", digits.len());
            if error.kind == DecodeKind::Length { odd() } else { NOT_A_DIGIT.to_owned() }
        })?;
        Ok(Self(bytes.into()))
    }
}

impl fmt::Display for TextOrHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_printable = |text: &&str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let text = str::from_utf8(&self.0).ok().filter(is_printable);
        match text.filter(|text| !text.is_empty() && !text.starts_with("0x")) {
            Some(text) => f.write_str(text),
            None => write!(f, "0x{}", Hex(&self.0)),
        }
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

    #[test]
    fn bytes_are_text_where_that_is_plain() {
        for (text, bytes, printed) in [
            ("hello, you", &b"hello, you"[..], "hello, you"),
            ("0x68690A", b"hi\n", "0x68690a"),
            ("0x6869", b"hi", "hi"),
            ("0x", b"", "0x"),
            ("", b"", "0x"),
            ("0x3078", b"0x", "0x3078"),
            ("0x1b5b", b"\x1b[", "0x1b5b"),
            ("\u{fc}", b"\xc3\xbc", "0xc3bc"),
        ] {
            let read: TextOrHex = text.parse().unwrap();
            assert_eq!((read.0.as_ref(), read.to_string().as_str()), (bytes, printed));
            assert_eq!(printed.parse(), Ok(read));
        }
        for bad in ["0x0", "0xzz", "0x0x"] {
            assert!(bad.parse::<TextOrHex>().is_err(), "{bad}");
        }
    }
}
