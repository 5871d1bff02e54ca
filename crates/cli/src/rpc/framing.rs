//! Where one JSON value ends and the next one begins.

use std::io;

/// Cuts a stream of bytes into JSON arrays and objects. Looks at each byte once.
#[derive(Debug)]
pub(crate) struct Framing {
    /// The bytes since the end of the last value.
    bytes: Vec<u8>,
    /// How many of them were looked at.
    seen: usize,
    /// How many arrays and objects are open there.
    depth: usize,
    /// Whether a text is open there, and then whether a backslash came right before.
    text: Option<bool>,
    limit: usize,
}

impl Framing {
    /// Values of at most `limit` bytes.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), seen: 0, depth: 0, text: None, limit }
    }

    /// Adds bytes to the end.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next value, if it is whole. What is in it may still be no JSON.
    ///
    /// # Errors
    /// Where it is too long, or something else than an array or an object.
    pub(crate) fn next_value(&mut self) -> io::Result<Option<Vec<u8>>> {
        let invalid = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        if self.depth == 0 {
            let blank = self.bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.bytes.drain(..blank);
            self.seen = 0;
        }
        while let Some(&byte) = self.bytes.get(self.seen) {
            self.seen += 1;
            match (&mut self.text, byte) {
                (Some(escaped @ true), _) => *escaped = false,
                (Some(escaped), b'\\') => *escaped = true,
                (Some(_), b'"') => self.text = None,
                (Some(_), _) => {}
                (None, b'{' | b'[') => self.depth += 1,
                (None, _) if self.depth == 0 => return invalid("neither an object nor an array"),
                (None, b'"') => self.text = Some(false),
                (None, b'}' | b']') => self.depth -= 1,
                (None, _) => {}
            }
            if self.depth == 0 {
                let rest = self.bytes.split_off(self.seen);
                self.seen = 0;
                return Ok(Some(std::mem::replace(&mut self.bytes, rest)));
            }
            if self.seen > self.limit {
                return invalid("a value is too long");
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of a stream that comes in pieces of this length.
    fn values(stream: &str, piece: usize) -> io::Result<Vec<String>> {
        let mut framing = Framing::new(64);
        let mut values = Vec::new();
        for piece in stream.as_bytes().chunks(piece) {
            framing.push(piece);
            while let Some(value) = framing.next_value()? {
                values.push(String::from_utf8(value).unwrap());
            }
        }
        Ok(values)
    }

    #[test]
    fn values_end_where_they_end() {
        let stream = "{\"a\":[1,{}]} \n[]{\"}\\\"]\":\"\\\\\"}\t[[\"[\"]]{\"open";
        let expected = ["{\"a\":[1,{}]}", "[]", "{\"}\\\"]\":\"\\\\\"}", "[[\"[\"]]"];
        for piece in 1..=stream.len() {
            assert_eq!(values(stream, piece).unwrap(), expected, "{piece}");
        }
    }

    #[test]
    fn what_is_no_value_or_too_long_is_an_error() {
        for stream in ["1", "null", "x{}", "{}}", "\"a\""] {
            assert!(values(stream, 1).is_err(), "{stream}");
        }
        let open = |length: usize| "[".repeat(length);
        assert_eq!(values(&open(64), 7).unwrap(), Vec::<String>::new());
        assert!(values(&open(65), 7).is_err());
    }
}
