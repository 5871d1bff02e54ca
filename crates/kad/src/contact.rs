/// An opaque key that says which nodes may well be under one hand.
///
/// A table counts verified nodes by it, so that one hand cannot hold many places however many ids
/// it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(u128);

impl Group {
    /// The group with this number, which only has to be the same for nodes of one group and
    /// different for nodes of two.
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u128 {
        self.0
    }
}

/// What a [`Table`](crate::Table) has to know of the values that it keeps.
pub trait Contact: Clone {
    /// The group in which the node counts, or `None` where no limit applies to it.
    ///
    /// It must not change while the value is in a table.
    fn group(&self) -> Option<Group>;

    /// Whether both values are reached in the same way, so that an answer from one proves the
    /// other.
    fn same_endpoint(&self, other: &Self) -> bool;
}

/// A node of which nothing is known but its id.
impl Contact for () {
    fn group(&self) -> Option<Group> {
        None
    }

    fn same_endpoint(&self, (): &Self) -> bool {
        true
    }
}
