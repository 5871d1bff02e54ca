use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{Class, Delivery, Rng, rng::nanos};

/// A router that hides hosts behind its one address. The kinds are those of RFC 3489.
///
/// What a host behind it sends to an address that no neighbour behind the same NAT has leaves with
/// the NAT's address and a port of the NAT's choice, at random: a mapping. It lasts while the host
/// goes on sending through it. Hosts behind one NAT reach one another at its address too
/// (hairpinning), by the same rules. Datagrams and segments have mappings of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat {
    /// Its address in the world.
    pub ip: IpAddr,
    /// Who gets a mapping, and who may answer.
    pub kind: NatKind,
    /// A mapping through which the host sent nothing for so long is gone; so is the permission of
    /// an address to which it sent nothing for so long.
    pub expiry: Duration,
}

impl Nat {
    /// A NAT whose mappings last 5 minutes, as RFC 4787 recommends.
    pub const fn new(kind: NatKind, ip: IpAddr) -> Self {
        Self { ip, kind, expiry: Duration::from_mins(5) }
    }
}

/// Who gets a mapping, and who may send to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// One mapping for each address behind the NAT. Everybody may send to it.
    FullCone,
    /// One mapping for each address. Those IPs may send to it to which the host sent.
    Restricted,
    /// One mapping for each address. Those addresses, port included, may send to it to which the
    /// host sent.
    PortRestricted,
    /// One mapping for each address and each destination, which alone may send to it.
    Symmetric,
}

/// A [`Nat`] of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatId(pub(crate) u32);

/// A NAT with its mappings. Times are nanoseconds of the virtual clock.
#[derive(Debug)]
pub(crate) struct Router {
    nat: Nat,
    expiry: u64,
    mappings: BTreeMap<(Class, u16), Mapping>,
    ports: BTreeMap<Source, u16>,
}

/// What a mapping is for: an address behind the NAT and, where it is symmetric, the destination.
type Source = (Class, SocketAddr, Option<SocketAddr>);

#[derive(Debug)]
struct Mapping {
    source: Source,
    used: u64,
    /// Who may send to it, and when the host last sent to them.
    permitted: BTreeMap<SocketAddr, u64>,
}

impl Router {
    pub(crate) fn new(nat: Nat) -> Self {
        Self { expiry: nanos(nat.expiry), nat, mappings: BTreeMap::new(), ports: BTreeMap::new() }
    }

    /// The source address that a message has outside; `None` where no port is free.
    pub(crate) fn outbound(
        &mut self,
        now: u64,
        rng: &mut Rng,
        class: Class,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Option<SocketAddr> {
        let source = (class, from, (self.nat.kind == NatKind::Symmetric).then_some(to));
        let port = match self.ports.get(&source) {
            Some(&port) if self.is_alive(now, class, port) => port,
            _ => self.map(now, rng, source)?,
        };
        let expiry = self.expiry;
        let permission = permission(self.nat.kind, to);
        let mapping = self.mappings.get_mut(&(class, port))?;
        mapping.used = now;
        if let Some(address) = permission {
            if mapping.permitted.len() >= MAX_PERMITTED {
                mapping.permitted.retain(|_, &mut used| now.saturating_sub(used) < expiry);
            }
            if mapping.permitted.len() < MAX_PERMITTED {
                mapping.permitted.insert(address, now);
            }
        }
        Some(SocketAddr::new(self.nat.ip, port))
    }

    /// The address behind the NAT to which this port leads.
    pub(crate) fn inside(&self, now: u64, class: Class, port: u16) -> Option<SocketAddr> {
        self.mappings
            .get(&(class, port))
            .filter(|_| self.is_alive(now, class, port))
            .map(|mapping| mapping.source.1)
    }

    /// Whether a message that comes to this port, and was to go to `delivery.to`, passes.
    pub(crate) fn admits(&self, now: u64, delivery: &Delivery, port: u16) -> bool {
        let Some(mapping) = self.mappings.get(&(delivery.class, port)) else { return false };
        mapping.source.1 == delivery.to
            && self.is_alive(now, delivery.class, port)
            && permission(self.nat.kind, delivery.from).is_none_or(|address| {
                let used = mapping.permitted.get(&address);
                used.is_some_and(|used| now.saturating_sub(*used) < self.expiry)
            })
    }

    fn is_alive(&self, now: u64, class: Class, port: u16) -> bool {
        let mapping = self.mappings.get(&(class, port));
        mapping.is_some_and(|mapping| now.saturating_sub(mapping.used) < self.expiry)
    }

    fn map(&mut self, now: u64, rng: &mut Rng, source: Source) -> Option<u16> {
        let class = source.0;
        if let Some(old) = self.ports.remove(&source) {
            self.mappings.remove(&(class, old));
        }
        let port = (0..PROBES)
            .map(|_| FIRST_PORT + rng.below(u64::from(u16::MAX - FIRST_PORT) + 1) as u16)
            .find(|&port| !self.is_alive(now, class, port))?;
        let mapping = Mapping { source, used: now, permitted: BTreeMap::new() };
        if let Some(old) = self.mappings.insert((class, port), mapping) {
            self.ports.remove(&old.source);
        }
        self.ports.insert(source, port);
        Some(port)
    }
}

/// What is noted of a destination, or looked for of a source.
const fn permission(kind: NatKind, address: SocketAddr) -> Option<SocketAddr> {
    match kind {
        NatKind::FullCone => None,
        NatKind::Restricted => Some(SocketAddr::new(address.ip(), 0)),
        NatKind::PortRestricted | NatKind::Symmetric => Some(address),
    }
}

/// The ports below belong to the system.
const FIRST_PORT: u16 = 1_024;

/// How many ports are tried for a new mapping: with nine of ten taken, one in a thousand fails.
const PROBES: usize = 64;

/// How many addresses may send to one mapping: all that a node talks to in some minutes, many times
/// over. Beyond it answers are filtered.
const MAX_PERMITTED: usize = 65_536;
