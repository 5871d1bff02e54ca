use std::fmt;

/// Reads exactly `N` bytes as hex digits, with or without 0x.
pub(crate) fn parse<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let expected = N.saturating_mul(2);
    let values: Option<Vec<u32>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
    let values = values.ok_or("has a character that is not a hex digit")?;
    if values.len() != expected {
        return Err(format!("has {} hex digits instead of {expected}", values.len()));
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(values.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |byte, digit| byte << 4 | u8::try_from(*digit).unwrap_or(0));
    }
    Ok(bytes)
}

/// Prints bytes as hex digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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
