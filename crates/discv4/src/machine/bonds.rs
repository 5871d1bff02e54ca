use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use devp2p_core::{LanPolicy, NodeId, Prefix, prefix_group};

use crate::Config;

/// Of all rows the part that goes at once where there are just many nodes.
const DROPPED_SHARE: usize = 32;
/// How often all rows are looked through for expired ones, at most.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// Who has proved an endpoint to us, and who holds our proof.
///
/// A row is of a node at an endpoint, so a proof is worth nothing from another address, nor for
/// another id. It begins when the node answers a PING of ours there: what strangers send makes no
/// rows.
///
/// Where there is no room, rows of the prefix give way to new ones, or those of the fullest prefix:
/// those at the endpoint with most of them, then those at such an address, then the newest. So
/// whoever makes up ids pushes out his own, and neither those who came before nor those who come
/// after. Where no prefix has two, there are just many nodes, and the oldest proofs give way. Rows
/// of nodes in the table never do.
#[derive(Debug)]
pub(super) struct Bonds {
    expiry: Duration,
    max: usize,
    max_per_prefix: usize,
    max_per_lan_prefix: usize,
    lan_policy: LanPolicy,
    rows: BTreeMap<(SocketAddr, NodeId), Bond>,
    prefixes: BTreeMap<Prefix, usize>,
    /// The same, the fullest last.
    by_fullness: BTreeSet<(usize, Prefix)>,
    next_number: u64,
    swept_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Bond {
    /// When the node last proved to us that it is there.
    last_pong: Instant,
    /// When we last answered its PING, and so proved ourselves to it, if we did.
    last_ping: Option<Instant>,
    /// Rises with every new row.
    number: u64,
}

impl Bonds {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            expiry: config.bond_expiry,
            max: config.max_bonds,
            max_per_prefix: config.max_bonds_per_prefix,
            max_per_lan_prefix: config.max_bonds_per_lan_prefix,
            lan_policy: config.lan_policy,
            rows: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            by_fullness: BTreeSet::new(),
            next_number: 0,
            swept_at: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the node has proved that it is there, and not too long ago.
    pub(super) fn is_proven(&self, now: Instant, id: NodeId, endpoint: SocketAddr) -> bool {
        self.last_pong(id, endpoint).is_some_and(|at| self.is_fresh(now, at))
    }

    /// Whether any node has, there.
    pub(super) fn is_any_proven(&self, now: Instant, endpoint: SocketAddr) -> bool {
        self.proven_at(now, endpoint).next().is_some()
    }

    /// The nodes that have, there.
    pub(super) fn proven_at(
        &self,
        now: Instant,
        endpoint: SocketAddr,
    ) -> impl Iterator<Item = NodeId> {
        let there = self.rows.range(range(endpoint, endpoint));
        let fresh = there.filter(move |(_, bond)| self.is_fresh(now, bond.last_pong));
        fresh.map(|(&(_, id), _)| id)
    }

    /// Whether the proof is missing, or in the second half of its life.
    pub(super) fn is_ageing(&self, now: Instant, id: NodeId, endpoint: SocketAddr) -> bool {
        let age = self.last_pong(id, endpoint).map(|at| now.saturating_duration_since(at));
        age.is_none_or(|age| age >= self.expiry / 2)
    }

    /// Whether the node holds our proof, as far as we know.
    pub(super) fn holds_ours(&self, now: Instant, id: NodeId, endpoint: SocketAddr) -> bool {
        self.last_ping(id, endpoint).is_some_and(|at| self.is_fresh(now, at))
    }

    pub(super) fn last_pong(&self, id: NodeId, endpoint: SocketAddr) -> Option<Instant> {
        self.rows.get(&(endpoint, id)).map(|bond| bond.last_pong)
    }

    pub(super) fn last_ping(&self, id: NodeId, endpoint: SocketAddr) -> Option<Instant> {
        self.rows.get(&(endpoint, id))?.last_ping
    }

    /// The node answered our PING at the time `now`. `protects` says whose row stays.
    pub(super) fn proved(
        &mut self,
        now: Instant,
        id: NodeId,
        endpoint: SocketAddr,
        protects: impl Fn(NodeId, SocketAddr) -> bool,
    ) {
        if let Some(bond) = self.rows.get_mut(&(endpoint, id)) {
            bond.last_pong = now;
        } else if self.make_room(now, endpoint, protects) {
            self.insert(id, endpoint, now, None);
        }
    }

    /// An earlier run has seen these proofs; whether there is room for them.
    pub(super) fn restore(
        &mut self,
        id: NodeId,
        endpoint: SocketAddr,
        last_pong: Instant,
        last_ping: Option<Instant>,
    ) -> bool {
        let room = self.rows.len() < self.max && self.prefix_has_room(endpoint.ip());
        let is_new = !self.rows.contains_key(&(endpoint, id));
        if room && is_new {
            self.insert(id, endpoint, last_pong, last_ping);
        }
        room && is_new
    }

    /// We answered the node's PING at that time, or its answer shows that we once did. Nothing is
    /// kept of one that has not proved itself.
    pub(super) fn proved_ours(&mut self, at: Instant, id: NodeId, endpoint: SocketAddr) {
        if let Some(bond) = self.rows.get_mut(&(endpoint, id)) {
            bond.last_ping = bond.last_ping.max(Some(at));
        }
    }

    /// The node did not answer what only needs our proof: it may have lost it.
    pub(super) fn forget_ours(&mut self, id: NodeId, endpoint: SocketAddr) {
        if let Some(bond) = self.rows.get_mut(&(endpoint, id)) {
            bond.last_ping = None;
        }
    }

    /// So much time passed that no instant tells of.
    pub(super) fn age(&mut self, by: Duration) {
        let mut expired = Vec::new();
        for (key, bond) in &mut self.rows {
            match bond.last_pong.checked_sub(by) {
                Some(at) => bond.last_pong = at,
                None => expired.push(*key),
            }
            bond.last_ping = bond.last_ping.and_then(|at| at.checked_sub(by));
        }
        for (endpoint, id) in expired {
            self.remove(endpoint, id);
        }
    }

    fn insert(
        &mut self,
        id: NodeId,
        endpoint: SocketAddr,
        last_pong: Instant,
        last_ping: Option<Instant>,
    ) {
        self.next_number = self.next_number.saturating_add(1);
        let bond = Bond { last_pong, last_ping, number: self.next_number };
        self.rows.insert((endpoint, id), bond);
        self.recount(endpoint.ip(), |count| count.saturating_add(1));
    }

    fn prefix_has_room(&self, ip: IpAddr) -> bool {
        let is_exempt = self.lan_policy.exempts(ip);
        let max = if is_exempt { self.max_per_lan_prefix } else { self.max_per_prefix };
        self.prefixes.get(&prefix_group(ip)).is_none_or(|&rows| rows < max)
    }

    fn is_fresh(&self, now: Instant, at: Instant) -> bool {
        now.saturating_duration_since(at) < self.expiry
    }

    fn make_room(
        &mut self,
        now: Instant,
        endpoint: SocketAddr,
        protects: impl Fn(NodeId, SocketAddr) -> bool,
    ) -> bool {
        let prefix = prefix_group(endpoint.ip());
        if !self.prefix_has_room(endpoint.ip()) {
            return self.evict_from(now, prefix, Some(endpoint), &protects);
        }
        if self.rows.len() < self.max {
            return true;
        }
        let swept = self.swept_at.map(|at| now.saturating_duration_since(at));
        if swept.is_none_or(|ago| ago >= SWEEP_INTERVAL) {
            self.sweep(now);
        }
        if self.rows.len() >= self.max
            && self.by_fullness.last().is_some_and(|&(most, _)| most <= 1)
        {
            self.drop_oldest(&protects);
        }
        // Few prefixes consist of nothing but nodes of the table, which is small.
        self.rows.len() < self.max || {
            let fullest: Vec<_> =
                self.by_fullness.iter().rev().map(|&(_, prefix)| prefix).take(64).collect();
            let comes = |to| (to == prefix).then_some(endpoint);
            fullest.into_iter().any(|from| self.evict_from(now, from, comes(from), &protects))
        }
    }

    /// Removes a row of the prefix, to which one is to come at `newcomer` if any: an expired one, or
    /// else one of those where most are.
    fn evict_from(
        &mut self,
        now: Instant,
        prefix: Prefix,
        newcomer: Option<SocketAddr>,
        protects: &impl Fn(NodeId, SocketAddr) -> bool,
    ) -> bool {
        let network = prefix.network();
        let first = SocketAddr::new(network.network(), 0);
        let last = SocketAddr::new(network.broadcast(), u16::MAX);
        let rows = || self.rows.range(range(first, last));
        let (mut at_endpoint, mut at_ip) = (BTreeMap::new(), BTreeMap::new());
        for endpoint in rows().map(|((endpoint, _), _)| *endpoint).chain(newcomer) {
            *at_endpoint.entry(endpoint).or_insert(0_usize) += 1;
            *at_ip.entry(endpoint.ip()).or_insert(0_usize) += 1;
        }
        let evicted = rows()
            .filter(|((endpoint, id), _)| !protects(*id, *endpoint))
            .max_by_key(|((endpoint, _), bond)| {
                let crowd = (at_endpoint.get(endpoint), at_ip.get(&endpoint.ip()));
                (!self.is_fresh(now, bond.last_pong), crowd, bond.number)
            })
            .map(|(key, _)| *key);
        let Some((endpoint, id)) = evicted else { return false };
        self.remove(endpoint, id);
        true
    }

    /// Removes those that were proved longest ago: where no prefix has more than another, there are
    /// just many nodes, and who comes has to be served. Many at once, so that each costs little.
    fn drop_oldest(&mut self, protects: &impl Fn(NodeId, SocketAddr) -> bool) {
        let unprotected = self.rows.iter().filter(|((endpoint, id), _)| !protects(*id, *endpoint));
        let mut rows: Vec<_> =
            unprotected.map(|(key, bond)| (bond.last_pong, bond.number, *key)).collect();
        rows.sort_unstable();
        for (.., (endpoint, id)) in rows.into_iter().take((self.max / DROPPED_SHARE).max(1)) {
            self.remove(endpoint, id);
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.swept_at = Some(now);
        let expired: Vec<_> = self
            .rows
            .iter()
            .filter(|(_, bond)| !self.is_fresh(now, bond.last_pong))
            .map(|(key, _)| *key)
            .collect();
        for (endpoint, id) in expired {
            self.remove(endpoint, id);
        }
    }

    fn remove(&mut self, endpoint: SocketAddr, id: NodeId) {
        if self.rows.remove(&(endpoint, id)).is_some() {
            self.recount(endpoint.ip(), |count| count.saturating_sub(1));
        }
    }

    fn recount(&mut self, ip: IpAddr, change: impl Fn(usize) -> usize) {
        let prefix = prefix_group(ip);
        let before = self.prefixes.remove(&prefix).unwrap_or(0);
        self.by_fullness.remove(&(before, prefix));
        let after = change(before);
        if after > 0 {
            self.prefixes.insert(prefix, after);
            self.by_fullness.insert((after, prefix));
        }
    }
}

/// The rows at these endpoints and between them.
const fn range(first: SocketAddr, last: SocketAddr) -> RangeInclusive<(SocketAddr, NodeId)> {
    (first, NodeId::new([0; 32]))..=(last, NodeId::new([0xff; 32]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn bonds(max: usize, per_prefix: usize) -> (Bonds, Instant) {
        let config = Config {
            max_bonds: max,
            max_bonds_per_prefix: per_prefix,
            lan_policy: LanPolicy::Limit,
            ..Config::default()
        };
        #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
        (Bonds::new(&config), Instant::now())
    }

    fn id(number: u16) -> NodeId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        NodeId::new(bytes)
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn nobody(_: NodeId, _: SocketAddr) -> bool {
        false
    }

    #[test]
    fn a_proof_is_of_one_node_at_one_endpoint_for_twelve_hours() {
        let (mut bonds, now) = bonds(100, 100);
        let here = at("1.2.3.4:30303");
        bonds.proved(now, id(1), here, nobody);
        assert!(bonds.is_proven(now, id(1), here) && bonds.is_any_proven(now, here));
        for elsewhere in ["1.2.3.4:30304", "1.2.3.5:30303"] {
            assert!(!bonds.is_proven(now, id(1), at(elsewhere)), "{elsewhere}");
            assert!(!bonds.is_any_proven(now, at(elsewhere)), "{elsewhere}");
        }
        assert!(!bonds.is_proven(now, id(2), here));
        assert!(!bonds.is_ageing(now + 5 * HOUR, id(1), here));
        assert!(bonds.is_ageing(now + 6 * HOUR, id(1), here));
        let just_before = now + 12 * HOUR - Duration::from_secs(1);
        assert!(bonds.is_proven(just_before, id(1), here));
        assert!(!bonds.is_proven(now + 12 * HOUR, id(1), here));
        assert!(!bonds.is_any_proven(now + 12 * HOUR, here));
    }

    #[test]
    fn what_we_proved_is_kept_only_of_those_who_proved_themselves() {
        let (mut bonds, now) = bonds(100, 100);
        let here = at("1.2.3.4:30303");
        bonds.proved_ours(now, id(1), here);
        assert_eq!(bonds.len(), 0);
        bonds.proved(now, id(1), here, nobody);
        assert!(!bonds.holds_ours(now, id(1), here));
        bonds.proved_ours(now, id(1), here);
        assert!(bonds.holds_ours(now + 11 * HOUR, id(1), here));
        assert!(!bonds.holds_ours(now + 12 * HOUR, id(1), here));
        bonds.forget_ours(id(1), here);
        assert!(!bonds.holds_ours(now, id(1), here));
    }

    #[test]
    fn in_a_full_prefix_the_newest_gives_way() {
        let (mut bonds, now) = bonds(100, 3);
        let here = at("1.2.3.4:30303");
        for number in 1..=3 {
            bonds.proved(now, id(number), here, nobody);
        }
        for number in 4..=500 {
            bonds.proved(now, id(number), here, nobody);
        }
        assert_eq!(bonds.len(), 3);
        for number in [1, 2, 500] {
            assert!(bonds.is_proven(now, id(number), here), "{number}");
        }
        bonds.proved(now, id(501), at("1.2.4.4:30303"), nobody);
        assert_eq!(bonds.len(), 4, "another prefix has room");
    }

    #[test]
    fn in_a_full_prefix_those_give_way_of_whom_most_are_in_one_place() {
        for flooder in ["1.2.3.4:6666", "1.2.3.5:6666"].map(at) {
            // On an address of its own it may use all ports.
            let ports = flooder.ip() == at("1.2.3.5:0").ip();
            let (mut bonds, now) = bonds(100, 64);
            let flood = |bonds: &mut Bonds, numbers: std::ops::Range<u16>| {
                for number in numbers {
                    let port = if ports { 2_000 + number } else { flooder.port() };
                    bonds.proved(now, id(number), SocketAddr::new(flooder.ip(), port), nobody);
                }
            };
            flood(&mut bonds, 1_000..1_100);
            let honest: Vec<_> =
                (0..20).map(|n| (id(n), at(&format!("1.2.3.4:{}", 4_000 + n)))).collect();
            for &(id, endpoint) in &honest {
                bonds.proved(now, id, endpoint, nobody);
            }
            flood(&mut bonds, 2_000..3_000);
            let stay = honest.iter().filter(|(id, at)| bonds.is_proven(now, *id, *at)).count();
            assert_eq!(stay, 20, "{flooder}");
            assert_eq!(bonds.len(), 64);
        }
    }

    /// Networks that no other limit by address holds for.
    #[test]
    fn a_local_network_takes_only_a_part_of_all_rows() {
        #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
        let now = Instant::now();
        let mut bonds = Bonds::new(&Config::default());
        let honest: Vec<_> =
            (0..20).map(|n| (id(n), at(&format!("10.0.0.1:{}", 4_000 + n)))).collect();
        // All behind one address, and beside them one host that floods from all of its ports.
        for (number, &(node, endpoint)) in (0_u16..).zip(&honest) {
            bonds.proved(now, node, endpoint, nobody);
            for port in 0..1_000 {
                let flooder = at(&format!("10.0.0.2:{}", 2_000 + port));
                bonds.proved(now, id(1_000 + 1_000 * number + port), flooder, nobody);
            }
        }
        assert!(honest.iter().all(|&(node, endpoint)| bonds.is_proven(now, node, endpoint)));
        assert_eq!(bonds.len(), 512);
        assert!(!bonds.restore(id(50_000), at("10.0.0.3:30303"), now, None), "no room");
        assert!(bonds.restore(id(50_000), at("10.0.1.3:30303"), now, None), "another network");
    }

    #[test]
    fn an_expired_row_gives_way_before_the_newest() {
        let (mut bonds, now) = bonds(100, 2);
        let here = at("1.2.3.4:30303");
        bonds.proved(now, id(1), here, nobody);
        bonds.proved(now + 6 * HOUR, id(2), here, nobody);
        let later = now + 13 * HOUR;
        bonds.proved(later, id(3), here, nobody);
        assert!(bonds.is_proven(later, id(2), here) && bonds.is_proven(later, id(3), here));
    }

    #[test]
    fn nodes_of_the_table_never_give_way() {
        let (mut bonds, now) = bonds(100, 2);
        let here = at("1.2.3.4:30303");
        let table = |known: NodeId, _: SocketAddr| known == id(1) || known == id(2);
        for number in 1..=9 {
            bonds.proved(now, id(number), here, table);
        }
        assert!(bonds.is_proven(now, id(1), here) && bonds.is_proven(now, id(2), here));
        assert_eq!(bonds.len(), 2);
    }

    #[test]
    fn when_all_is_full_the_fullest_prefix_gives_way() {
        let (mut bonds, now) = bonds(8, 6);
        for number in 1..=6 {
            bonds.proved(now, id(number), at("6.6.6.6:30303"), nobody);
        }
        bonds.proved(now, id(11), at("1.1.1.1:30303"), nobody);
        bonds.proved(now, id(12), at("[2a00::1]:30303"), nobody);
        for (number, ip) in (21..).zip(["2.2.2.2:2222", "3.3.3.3:3333", "[2a01::1]:3333"]) {
            bonds.proved(now, id(number), at(ip), nobody);
            assert_eq!(bonds.len(), 8);
        }
        assert!(bonds.is_proven(now, id(11), at("1.1.1.1:30303")));
        assert!(bonds.is_proven(now, id(12), at("[2a00::1]:30303")));
        assert!(bonds.is_proven(now, id(3), at("6.6.6.6:30303")));
        assert!(!bonds.is_proven(now, id(4), at("6.6.6.6:30303")));
    }

    #[test]
    fn where_there_are_just_many_nodes_the_oldest_proof_gives_way() {
        let (mut bonds, start) = bonds(64, 8);
        let second = Duration::from_secs(1);
        // Who comes last has now the highest address, now the lowest.
        let prefix = |number: u16| if number.is_multiple_of(2) { number } else { 1_000 - number };
        let endpoint = |number: u16| at(&format!("7.{}.{}.1:30303", number >> 8, number & 0xff));
        let endpoint = |number| endpoint(prefix(number));
        let in_table = |known: NodeId, _: SocketAddr| known == id(0);
        for number in 0..500 {
            let now = start + u32::from(number) * second;
            bonds.proved(now, id(number), endpoint(number), in_table);
            assert!(bonds.len() <= 64);
            for recent in number.saturating_sub(60)..=number {
                assert!(bonds.is_proven(now, id(recent), endpoint(recent)), "{recent} at {number}");
            }
            assert!(bonds.is_proven(now, id(0), endpoint(0)));
        }
        assert!(!bonds.is_proven(start + 500 * second, id(1), endpoint(1)));
    }
}
