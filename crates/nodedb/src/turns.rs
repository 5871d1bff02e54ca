//! Which seeds to keep and which to tell: the networks take turns.

use std::{cmp::Reverse, collections::BTreeMap};

use devp2p_core::{NodeId, Prefix, Rng};

/// What there is to say about a stored seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: NodeId,
    pub(crate) network: Prefix,
    pub(crate) last_pong: u64,
}

/// What has to go so that no more than `limit` entries stay: of the networks with the most
/// entries the stalest.
pub(crate) fn excess(mut entries: Vec<Entry>, limit: usize) -> Vec<NodeId> {
    freshest_in_turn(&mut entries);
    entries.into_iter().skip(limit).map(|entry| entry.id).collect()
}

/// All ids in the order in which to tell them when `limit` are asked for: the first half the
/// freshest, the rest at random.
pub(crate) fn told(mut entries: Vec<Entry>, limit: usize, rng: &mut Rng) -> Vec<NodeId> {
    freshest_in_turn(&mut entries);
    let mut rest = entries.split_off(limit.div_ceil(2).min(entries.len()));
    shuffle(&mut rest, rng);
    take_turns(&mut rest);
    entries.into_iter().chain(rest).map(|entry| entry.id).collect()
}

fn freshest_in_turn(entries: &mut [Entry]) {
    // The id makes the order a total one.
    entries.sort_unstable_by_key(|entry| (Reverse(entry.last_pong), entry.id));
    take_turns(entries);
}

/// Puts the first entry of each network in front, then the second of each, and so on; otherwise
/// the order stays.
fn take_turns(entries: &mut [Entry]) {
    let mut seen = BTreeMap::<Prefix, usize>::new();
    let mut turns = BTreeMap::new();
    for entry in &*entries {
        let turn = seen.entry(entry.network).or_default();
        turns.insert(entry.id, *turn);
        *turn = turn.saturating_add(1);
    }
    entries.sort_by_key(|entry| turns.get(&entry.id).copied());
}

/// Fisher and Yates.
fn shuffle(entries: &mut [Entry], rng: &mut Rng) {
    for last in (1..entries.len()).rev() {
        let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
        entries.swap(last, usize::try_from(rng.below(bound)).unwrap_or(last));
    }
}

#[cfg(test)]
mod tests {
    use devp2p_core::prefix_group;

    use super::*;

    fn entry(n: u16, network: u8, last_pong: u64) -> Entry {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        let network = prefix_group([192, 0, network, 1].into());
        Entry { id: NodeId::new(id), network, last_pong }
    }

    /// 50 honest nodes in as many networks, a while ago, and an attacker's 1,000 ids in two, now.
    fn attacked() -> Vec<Entry> {
        let honest = (0..50).map(|n| entry(n, n as u8, 100 + u64::from(n)));
        let attacker = (0..1_000).map(|n| entry(1_000 + n, 200 + (n % 2) as u8, 1_000));
        attacker.chain(honest).collect()
    }

    fn honest(ids: &[NodeId]) -> usize {
        ids.iter().filter(|id| **id < entry(1_000, 0, 0).id).count()
    }

    #[test]
    fn many_ids_in_few_networks_crowd_out_themselves() {
        let gone = excess(attacked(), 60);
        assert_eq!((gone.len(), honest(&gone)), (990, 0));
        assert_eq!(excess(attacked(), 1_050), []);
        // Alone, the stalest goes.
        let alone: Vec<_> = (0..9).map(|n| entry(n, 1, u64::from(n))).collect();
        assert_eq!(excess(alone.clone(), 8), [alone[0].id]);
        assert_eq!(excess(alone, 0).len(), 9);
    }

    #[test]
    fn half_of_those_told_are_the_freshest_and_half_are_drawn() {
        let mut drawn = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let mut order = told(attacked(), 30, &mut Rng::from_seed([seed; 32]));
            let mut all: Vec<_> = attacked().iter().map(|entry| entry.id).collect();
            assert_eq!(honest(&order[..15]), 13, "of the two networks one each");
            assert!(honest(&order[..30]) >= 26);
            assert_eq!(order[2], entry(49, 0, 0).id, "the freshest honest one");
            drawn.extend(order[15..30].iter().copied());
            order.sort_unstable();
            all.sort_unstable();
            assert_eq!(order, all);
        }
        assert!(honest(&drawn.into_iter().collect::<Vec<_>>()) > 30);
        assert_eq!(told(Vec::new(), 30, &mut Rng::from_seed([0; 32])), []);
        assert_eq!(told(attacked(), 0, &mut Rng::from_seed([0; 32])).len(), 1_050);
    }
}
