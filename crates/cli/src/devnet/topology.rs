//! Who is connected with whom.

/// How many partners a node has at least, where there are so many others.
const PARTNERS: usize = 8;

/// How many partners every node of so many has at least.
pub(super) fn least_partners(count: usize) -> usize {
    count.saturating_sub(1).min(PARTNERS)
}

/// The partners of a node: all others, or the nearest on both sides in a ring of all nodes.
pub(super) fn partners(node: usize, count: usize) -> Vec<usize> {
    let mut partners: Vec<usize> = (1..=least_partners(count).div_ceil(2))
        .flat_map(|step| [(node + step) % count, (node + count - step) % count])
        .collect();
    partners.sort_unstable();
    partners.dedup();
    partners
}

/// The quarter of the nodes that is killed, at least one, spread over the ring. In a network of 16
/// some of them are partners, so that both ends of a session are restarted.
pub(super) fn victims(count: usize) -> Vec<usize> {
    let quarter = (count / 4).max(1);
    (0..quarter).map(|index| index * count / quarter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_its_partners_and_is_theirs() {
        for count in 2..=64 {
            for node in 0..count {
                let own = partners(node, count);
                assert!(own.len() >= (count - 1).min(8), "node {node} of {count}: {own:?}");
                assert!(!own.contains(&node));
                assert!(own.iter().all(|&other| partners(other, count).contains(&node)));
            }
        }
    }

    #[test]
    fn a_quarter_is_killed() {
        for count in 2..=64 {
            let mut victims = victims(count);
            assert_eq!(victims.len(), (count / 4).max(1));
            assert!(victims.iter().all(|&victim| victim < count));
            victims.dedup();
            assert_eq!(victims.len(), (count / 4).max(1));
        }
        assert!(victims(16).iter().any(|&victim| partners(0, 16).contains(&victim)));
    }
}
