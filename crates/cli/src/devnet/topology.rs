//! Who is connected with whom.

use std::collections::BTreeSet;

/// How the nodes of a network find each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topology {
    /// One node is the bootnode of all others, and discovery finds the rest.
    Discovered,
    /// Every node has its partners in a ring as static nodes.
    Static,
}

/// The bootnode of all others.
pub(super) const BOOTNODE: usize = 0;

/// How many peers a node of a discovered network has room for: so many that 64 nodes on a small
/// machine have time for all that they send each other.
pub(super) const MAX_PEERS: usize = 12;

/// One of so many slots is for a dial: four peers that a node finds itself, and room for twice as
/// many that find it; so no dial finds everybody full.
pub(super) const DIAL_RATIO: usize = 3;

/// How many peers a discovered node has at least, where there are so many others: all that it may
/// dial.
const LEAST_DISCOVERED: usize = MAX_PEERS / DIAL_RATIO;

/// How many partners a node of a static network has at least, where there are so many others.
const STATIC_PARTNERS: usize = 8;

impl Topology {
    /// How many peers every node of so many has at least.
    pub(super) fn least_peers(self, count: usize) -> usize {
        let others = count.saturating_sub(1);
        match self {
            Self::Discovered => others.min(LEAST_DISCOVERED),
            Self::Static => others.min(STATIC_PARTNERS),
        }
    }

    /// The static nodes of a node: all others, or the nearest on both sides in a ring of all nodes.
    pub(super) fn static_nodes(self, node: usize, count: usize) -> BTreeSet<usize> {
        if self == Self::Discovered {
            return BTreeSet::new();
        }
        let steps = 1..=self.least_peers(count).div_ceil(2);
        steps.flat_map(|step| [(node + step) % count, (node + count - step) % count]).collect()
    }
}

/// The quarter of the nodes that is killed, at least one, spread over the ring. The first is the
/// bootnode. In a static network of 16 some of them are partners, so that both ends of a session
/// are restarted.
pub(super) fn victims(count: usize) -> Vec<usize> {
    let quarter = (count / 4).max(1);
    (0..quarter).map(|index| index * count / quarter).collect()
}

/// How many parts a network of so many nodes is in, where these are connected.
pub(super) fn parts(count: usize, links: &[(usize, usize)]) -> usize {
    let mut part_of: Vec<usize> = (0..count).collect();
    for &(left, right) in links {
        let (Some(&left), Some(&right)) = (part_of.get(left), part_of.get(right)) else { continue };
        for part in part_of.iter_mut().filter(|part| **part == left) {
            *part = right;
        }
    }
    part_of.into_iter().collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_static_node_has_its_partners_and_is_theirs() {
        for count in 2..=64 {
            for node in 0..count {
                let own = Topology::Static.static_nodes(node, count);
                assert!(own.len() >= (count - 1).min(8), "node {node} of {count}: {own:?}");
                assert!(!own.contains(&node));
                let theirs = |&other| Topology::Static.static_nodes(other, count);
                assert!(own.iter().all(|other| theirs(other).contains(&node)));
            }
        }
    }

    #[test]
    fn who_is_discovered_is_not_static() {
        assert!(Topology::Discovered.static_nodes(1, 24).is_empty());
        assert_eq!(
            [2, 4, 5, 24].map(|count| Topology::Discovered.least_peers(count)),
            [1, 3, 4, 4]
        );
    }

    #[test]
    fn a_quarter_is_killed() {
        for count in 2..=64 {
            let mut victims = victims(count);
            assert_eq!(victims.len(), (count / 4).max(1));
            assert!(victims.iter().all(|&victim| victim < count));
            assert!(victims.contains(&BOOTNODE));
            victims.dedup();
            assert_eq!(victims.len(), (count / 4).max(1));
        }
        let partners = Topology::Static.static_nodes(0, 16);
        assert!(victims(16).iter().any(|victim| partners.contains(victim)));
    }

    #[test]
    fn a_network_is_whole_or_in_parts() {
        assert_eq!(parts(4, &[]), 4);
        assert_eq!(parts(4, &[(0, 1), (2, 3)]), 2);
        assert_eq!(parts(4, &[(0, 1), (2, 3), (3, 2), (3, 0)]), 1);
    }
}
