use std::collections::VecDeque;

use crate::{Contact, Id};

/// The nodes that came of their own accord, and wait until somebody has time for them: not too
/// many, and of one [`Group`](crate::Group) few. Whoever finds no room may come again.
#[derive(Clone, Debug)]
pub struct Newcomers<V> {
    max: usize,
    max_of_group: usize,
    waiting: VecDeque<(Id, V)>,
}

impl<V: Contact> Newcomers<V> {
    /// Nobody yet, room for `max`, and for `max_of_group` of a group.
    pub const fn new(max: usize, max_of_group: usize) -> Self {
        Self { max, max_of_group, waiting: VecDeque::new() }
    }

    /// Lets a node wait, and says whether it does now. One that waits already stays as it is.
    pub fn push(&mut self, id: Id, value: V) -> bool {
        if self.waiting.iter().any(|(known, _)| *known == id) {
            return true;
        }
        let group = value.group();
        let of_group = || self.waiting.iter().filter(|(_, known)| known.group() == group).count();
        let has_room =
            self.waiting.len() < self.max && (group.is_none() || of_group() < self.max_of_group);
        if has_room {
            self.waiting.push_back((id, value));
        }
        has_room
    }

    /// The node that has waited longest.
    pub fn pop(&mut self) -> Option<(Id, V)> {
        self.waiting.pop_front()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Group;

    #[derive(Clone, Debug, PartialEq)]
    struct Of(Option<u128>);

    impl Contact for Of {
        fn group(&self) -> Option<Group> {
            self.0.map(Group::new)
        }

        fn same_endpoint(&self, other: &Self) -> bool {
            self == other
        }
    }

    #[test]
    fn a_crowd_leaves_room_for_others_and_the_first_is_first() {
        let mut newcomers = Newcomers::new(6, 2);
        let mut push = |byte, group| newcomers.push(Id::new([byte; 32]), Of(group));
        assert!(push(1, Some(1)) && push(2, Some(1)));
        assert!(!push(3, Some(1)), "two of its group wait");
        assert!(push(1, Some(1)), "it waits already");
        assert!((4..=7).all(|byte| push(byte, None)), "those of no group are not counted");
        assert!(!push(8, Some(2)), "full");
        assert_eq!(newcomers.len(), 6);
        assert_eq!(newcomers.pop(), Some((Id::new([1; 32]), Of(Some(1)))));
        assert!(newcomers.push(Id::new([8; 32]), Of(Some(2))) && !newcomers.is_empty());
    }
}
