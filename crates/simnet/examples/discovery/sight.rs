//! What can be seen of a network from above.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use devp2p_core::NodeId;

use super::{machine::Discovery, network::Network, node::Found};

/// The nodes that a lookup is to find.
pub(crate) const K: usize = 16;
/// After this long a lookup must be over, whatever happens.
const PATIENCE: Duration = Duration::from_secs(60);

/// How well lookups found what they were to find.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sharpness {
    /// Of the nodes that are nearest, the share that was found.
    pub(crate) found: f64,
    /// The share of the lookups that found all of them, but for one.
    pub(crate) nearly: f64,
    /// The share of the lookups that found all of them.
    pub(crate) complete: f64,
}

impl fmt::Display for Sharpness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [found, nearly, complete] =
            [self.found, self.nearly, self.complete].map(|share| 100.0 * share);
        write!(
            f,
            "{found:.2} % of the {K} nearest; {nearly:.1} % find {} of them or more, {complete:.1} % all",
            K - 1
        )
    }
}

impl<D: Discovery> Network<D> {
    /// Lets each of these nodes look for a random target, all at once, and waits for the results.
    pub(crate) fn look_around(&mut self, nodes: &[usize]) -> Vec<(usize, Found)> {
        for &at in nodes {
            let mut target = [0; 64];
            self.rng.fill(&mut target);
            self.with(at, |node, now| {
                node.found.clear();
                node.lookup(now, target);
            });
        }
        let hosts: Vec<_> = nodes.iter().map(|&at| self.nodes[at].1).collect();
        let over = self.world.run_until(PATIENCE, Duration::from_millis(100), |world| {
            hosts.iter().all(|&host| match world.host(host) {
                super::network::Member::Node(node) => !node.found.is_empty(),
                _ => true,
            })
        });
        assert!(over.is_some(), "a lookup goes on for {PATIENCE:?}");
        let found = |at: usize| self.at(at).found.first().cloned().map(|found| (at, found));
        nodes.iter().filter_map(|&at| found(at)).collect()
    }

    /// How near to the truth these lookups are, where the truth is of the nodes `among`.
    pub(crate) fn sharpness(&self, found: &[(usize, Found)], among: &[usize]) -> Sharpness {
        self.sharpness_of(found, among, among)
    }

    /// The same, where of the nearest `among` all only those in `counted` have to be found.
    pub(crate) fn sharpness_of(
        &self,
        found: &[(usize, Found)],
        among: &[usize],
        counted: &[usize],
    ) -> Sharpness {
        let (ids, counted) = (self.ids(among), self.ids(counted).into_iter().collect());
        let (mut sum, mut nearly, mut complete) = (0.0, 0, 0);
        for (at, found) in found {
            let share = share_found(&ids, &counted, self.nodes[*at].0.id, found);
            sum += share;
            nearly += usize::from(share >= (K - 1) as f64 / K as f64);
            complete += usize::from(share >= 1.0);
        }
        let count = found.len().max(1) as f64;
        Sharpness {
            found: sum / count,
            nearly: nearly as f64 / count,
            complete: complete as f64 / count,
        }
    }

    /// The same, of a lookup at each of the nodes, over links that lose nothing: what is known in
    /// the network, not what chance takes from it.
    pub(crate) fn known(&mut self, from: &[usize], among: &[usize]) -> Sharpness {
        self.set_links(super::network::Links::default());
        let found = self.look_around(from);
        self.sharpness(&found, among)
    }

    /// The share of the entries in the tables of `of` that are not of nodes in `alive`.
    pub(crate) fn strangers(&self, of: &[usize], alive: &[usize]) -> f64 {
        let alive: BTreeSet<_> = self.ids(alive).into_iter().collect();
        let entries = of.iter().flat_map(|&at| self.at(at).table());
        let (mut dead, mut all) = (0_u32, 0_u32);
        for (id, _) in entries {
            all += 1;
            dead += u32::from(!alive.contains(&id));
        }
        f64::from(dead) / f64::from(all.max(1))
    }

    /// The share of these nodes that are in the table of another of them.
    pub(crate) fn listed(&self, among: &[usize]) -> f64 {
        let listed: BTreeSet<_> =
            among.iter().flat_map(|&at| self.at(at).table()).map(|(id, _)| id).collect();
        let count = self.ids(among).iter().filter(|id| listed.contains(id)).count();
        count as f64 / among.len().max(1) as f64
    }

    /// Whether each of these nodes can reach each other one, from table to table.
    pub(crate) fn is_connected(&self, among: &[usize]) -> bool {
        self.cut_off(among).is_empty()
    }

    /// Those of these nodes that the first of them cannot reach, from table to table, or that cannot
    /// reach it.
    pub(crate) fn cut_off(&self, among: &[usize]) -> Vec<usize> {
        let place: BTreeMap<_, _> =
            self.ids(among).into_iter().enumerate().map(|(place, id)| (id, place)).collect();
        let (mut to, mut from) = (vec![Vec::new(); among.len()], vec![Vec::new(); among.len()]);
        for (place_of_own, &at) in among.iter().enumerate() {
            for other in self.at(at).table().filter_map(|(id, _)| place.get(&id).copied()) {
                to[place_of_own].push(other);
                from[other].push(place_of_own);
            }
        }
        let (to, from) = (reached(&to), reached(&from));
        let places = among.iter().zip(to.into_iter().zip(from));
        places.filter(|(_, (to, from))| !to || !from).map(|(&at, _)| at).collect()
    }

    /// How many nodes each table has, the fewest first.
    pub(crate) fn table_sizes(&self, nodes: &[usize]) -> Vec<usize> {
        let mut sizes: Vec<_> = nodes.iter().map(|&at| self.at(at).table().count()).collect();
        sizes.sort_unstable();
        sizes
    }
}

/// Of the nodes nearest to the target, but for the one that looked, and of these those that are
/// counted, the share that it found.
fn share_found(ids: &[NodeId], counted: &BTreeSet<NodeId>, own: NodeId, found: &Found) -> f64 {
    let mut ids: Vec<_> = ids.iter().filter(|id| **id != own).copied().collect();
    let k = K.min(ids.len());
    if k == 0 {
        return 1.0;
    }
    ids.select_nth_unstable_by_key(k - 1, |id| id.distance(&found.target));
    ids.truncate(k);
    ids.retain(|id| counted.contains(id));
    if ids.is_empty() {
        return 1.0;
    }
    ids.iter().filter(|id| found.nodes.contains(id)).count() as f64 / ids.len() as f64
}

/// Which of them can be reached from the first.
fn reached(edges: &[Vec<usize>]) -> Vec<bool> {
    let mut seen = vec![false; edges.len()];
    let mut ready = vec![0];
    while let Some(at) = ready.pop() {
        if !std::mem::replace(&mut seen[at], true) {
            ready.extend(&edges[at]);
        }
    }
    seen
}

/// The value that so much of them do not exceed.
pub(crate) fn quantile<T: Copy + PartialOrd>(values: &mut [T], share: f64) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    values[((values.len() - 1) as f64 * share).round() as usize]
}
