//! A network in which every node knows what Kademlia has it know.

use devp2p_kad::{Distance, Id};

/// Nodes that know all of their neighbourhood, and 16 of each distance farther away.
pub(crate) struct Network {
    /// In order, so that the nodes at one distance from any are a range.
    ids: Vec<Id>,
}

impl Network {
    pub(crate) fn new(ids: impl IntoIterator<Item = Id>) -> Self {
        let mut ids: Vec<_> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        Self { ids }
    }

    pub(crate) fn ids(&self) -> &[Id] {
        &self.ids
    }

    /// The nodes of all that are nearest to `target`, without further thought.
    pub(crate) fn nearest(&self, target: Id) -> Vec<Id> {
        nearest(target, self.ids.clone())
    }

    /// Whom `asked` names who is asked for `target`.
    pub(crate) fn named(&self, asked: Id, target: Id) -> Vec<Id> {
        let known = (1..=256).flat_map(|distance| {
            let range = self.at_distance(asked, distance);
            // Any 16 will do, as long as others know others.
            let from = usize::from(asked.as_bytes()[31]) * range.len() / 256;
            range.iter().cycle().skip(from).take(range.len().min(16))
        });
        nearest(target, known.copied().collect())
    }

    fn at_distance(&self, from: Id, distance: u16) -> &[Id] {
        let (mut bit, mut below) = ([0; 32], [0; 32]);
        for (at, byte) in below.iter_mut().enumerate() {
            let bits = (usize::from(distance) - 1).saturating_sub(8 * (31 - at)).min(8);
            *byte = u8::try_from((1_u16 << bits) - 1).expect("8 bits");
        }
        let top = 256 - usize::from(distance);
        bit[top / 8] = 0x80 >> (top % 8);
        let other = from.at(&Distance::new(bit));
        let first = other.as_bytes().iter().zip(below).map(|(byte, below)| byte & !below);
        let last = other.as_bytes().iter().zip(below).map(|(byte, below)| byte | below);
        let start = self.ids.partition_point(|id| id.as_bytes().iter().copied().lt(first.clone()));
        let end = self.ids.partition_point(|id| id.as_bytes().iter().copied().le(last.clone()));
        &self.ids[start..end]
    }
}

pub(crate) fn nearest(target: Id, mut ids: Vec<Id>) -> Vec<Id> {
    ids.sort_by_key(|id| id.distance(&target));
    ids.truncate(16);
    ids
}
