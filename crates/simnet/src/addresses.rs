use std::net::{IpAddr, SocketAddr};

use crate::{HostId, NatId};

/// Who has which address: in the world, and behind each NAT.
///
/// A hash table, because every message is looked up and a tree of thousands costs more than the
/// rest of its way. Nobody iterates over it, so it has no order to depend on; and only those who
/// write the test choose what is in it.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// As many as a power of two, and more than there are entries.
    cells: Vec<Vec<(Key, HostId)>>,
    entries: usize,
}

/// The NAT and the family, the IP, the port.
type Key = (u64, u128, u16);

impl Addresses {
    pub(crate) fn insert(&mut self, nat: Option<NatId>, address: SocketAddr, host: HostId) {
        if self.entries >= self.cells.len() {
            self.grow();
        }
        let key = key(nat, address, address.port());
        let taken = self.find(key).is_some();
        assert!(!taken, "{address} is taken");
        let at = self.cell(key);
        if let Some(cell) = self.cells.get_mut(at) {
            cell.push((key, host));
            self.entries += 1;
        }
    }

    pub(crate) fn remove(&mut self, nat: Option<NatId>, address: SocketAddr) {
        let key = key(nat, address, address.port());
        let at = self.cell(key);
        if let Some(cell) = self.cells.get_mut(at) {
            let before = cell.len();
            cell.retain(|(other, _)| *other != key);
            self.entries -= before - cell.len();
        }
    }

    /// Who has the address, or else port 0 of its IP.
    pub(crate) fn get(&self, nat: Option<NatId>, address: SocketAddr) -> Option<HostId> {
        let exact = self.find(key(nat, address, address.port()));
        exact.or_else(|| self.find(key(nat, address, 0)))
    }

    fn find(&self, key: Key) -> Option<HostId> {
        let cell = self.cells.get(self.cell(key))?;
        cell.iter().find(|(other, _)| *other == key).map(|(_, host)| *host)
    }

    fn grow(&mut self) {
        let size = (self.cells.len() * 2).max(16);
        let old = std::mem::replace(&mut self.cells, vec![Vec::new(); size]);
        for (key, host) in old.into_iter().flatten() {
            let at = self.cell(key);
            if let Some(cell) = self.cells.get_mut(at) {
                cell.push((key, host));
            }
        }
    }

    fn cell(&self, (realm, ip, port): Key) -> usize {
        let word = (ip as u64) ^ ((ip >> 64) as u64).rotate_left(31) ^ realm.rotate_left(47);
        let product = u128::from(word ^ (u64::from(port) << 40)) * MULTIPLIER;
        (product >> 32) as usize & self.cells.len().wrapping_sub(1)
    }
}

/// An odd number without pattern: 2^64 over the golden ratio.
const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15;

fn key(nat: Option<NatId>, address: SocketAddr, port: u16) -> Key {
    let realm = nat.map_or(0, |nat| u64::from(nat.0) + 1) << 1;
    match address.ip() {
        IpAddr::V4(ip) => (realm, u128::from(u32::from(ip)), port),
        IpAddr::V6(ip) => (realm | 1, u128::from(ip), port),
    }
}
