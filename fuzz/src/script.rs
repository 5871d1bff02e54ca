//! Fuzz input as a list of choices.
//!
//! The format is written by hand rather than derived, so that seeds can be written in it and so
//! that a mutation of one choice leaves the others as they are: every choice takes bytes from the
//! front only, and an input that has ended chooses 0 for ever.

/// Reads choices off the front of an input.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// Reads `input`.
    pub const fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Whether the input has ended.
    pub const fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// A number of 16 bits, little-endian.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// A number of 64 bits, little-endian.
    pub fn long(&mut self) -> u64 {
        (0..8).fold(0, |value, index| value | u64::from(self.byte()) << (8 * index))
    }

    /// A number in `0..count`.
    pub fn pick(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// One of `list`.
    pub fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.pick(list.len())]
    }

    /// A string: its length as a [`short`](Self::short), then its bytes, as many as there are.
    pub fn string(&mut self) -> &'a [u8] {
        let length = self.short();
        self.take(usize::from(length))
    }

    /// Everything that is left.
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Writes what [`Script::string`] reads; for seeds.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_le_bytes(), bytes].concat()
}
