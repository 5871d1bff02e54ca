//! Reading RLP strictly, item by item, without copies.

use rlp::PayloadInfo;

/// One RLP item in front of a buffer, canonical in its own header. What is inside a list is
/// not looked at, and nothing is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RlpItem<'a> {
    is_list: bool,
    payload: &'a [u8],
    raw: &'a [u8],
}

impl<'a> RlpItem<'a> {
    /// Splits the first item off `bytes`; `None` where there is none or its header is not the
    /// shortest for its content.
    pub fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let info = PayloadInfo::from(bytes).ok()?;
        let total = info.header_len.checked_add(info.value_len)?;
        let (raw, rest) = bytes.split_at_checked(total)?;
        let (header, payload) = raw.split_at_checked(info.header_len)?;
        let is_list = header.first().is_some_and(|&first| first >= 0xc0);
        // A single byte below 0x80 stands for itself and has no header.
        if header == [0x81] && payload.first().is_some_and(|&byte| byte < 0x80) {
            return None;
        }
        Some((Self { is_list, payload, raw }, rest))
    }

    /// The item that `bytes` is, with nothing after it.
    pub fn whole(bytes: &'a [u8]) -> Option<Self> {
        match Self::split(bytes) {
            Some((item, [])) => Some(item),
            _ => None,
        }
    }

    /// The content, of a string or a list, without the header.
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The item with its header.
    pub const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The content of a string.
    pub fn string(&self) -> Option<&'a [u8]> {
        (!self.is_list).then_some(self.payload)
    }

    /// The content of a list.
    pub fn list(&self) -> Option<&'a [u8]> {
        self.is_list.then_some(self.payload)
    }

    /// The number that the item is: big-endian, at most 8 bytes, no leading zero.
    pub fn uint(&self) -> Option<u64> {
        let digits = self.string()?;
        if digits.len() > 8 || digits.first() == Some(&0) {
            return None;
        }
        Some(digits.iter().fold(0, |number, &digit| number << 8 | u64::from(digit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_form_is_read() {
        let long = [&[0xb8, 56][..], &[7; 56]].concat();
        for good in [&[0x00][..], &[0x7f], &[0x80], &[0x81, 0x80], &[0xc0], &[0xc1, 0x01], &long] {
            let item = RlpItem::whole(good).unwrap();
            assert_eq!(item.raw(), good);
        }
        let short_as_long = [&[0xb8, 55][..], &[7; 55]].concat();
        let zero_in_length = [&[0xb9, 0, 56][..], &[7; 56]].concat();
        for bad in [
            &[][..],
            &[0x81, 0x7f],
            &[0x82, 0x01],
            &[0xb8],
            &[0xc1],
            &[0xf8, 0x00],
            &[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &short_as_long,
            &zero_in_length,
        ] {
            assert!(RlpItem::split(bad).is_none(), "{bad:02x?}");
        }
        assert!(RlpItem::whole(&[0x80, 0x80]).is_none());
    }

    #[test]
    fn numbers_have_no_leading_zero_and_eight_bytes_at_most() {
        let uint = |bytes: &[u8]| RlpItem::whole(bytes).and_then(|item| item.uint());
        assert_eq!(uint(&[0x80]), Some(0));
        assert_eq!(uint(&[0x05]), Some(5));
        assert_eq!(uint(&[0x88, 255, 255, 255, 255, 255, 255, 255, 255]), Some(u64::MAX));
        assert_eq!(uint(&[0x00]), None);
        assert_eq!(uint(&[0x82, 0, 1]), None);
        assert_eq!(uint(&[0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(uint(&[0xc0]), None);
    }
}
