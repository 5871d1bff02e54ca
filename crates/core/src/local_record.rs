use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::OnceLock,
    time::Instant,
};

use bytes::Bytes;

use crate::{
    EndpointClass, NodeId, NodeKey, Record, RecordError, RlpItem, classify,
    endpoint_votes::{EndpointVotes, Tally},
};

/// One of the two families of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address; an IPv4-mapped one is IPv4.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// The record of this node: gathers what there is to say from many sides and signs it.
///
/// Nothing in here opens a socket, reads a clock or sends anything. A program has one of these,
/// and everything that knows something of the node tells it: the configuration a fixed address,
/// a port mapping the ports, discovery the endpoint that others see, subprotocols their entries.
///
/// Of each family the address is the fixed one, or else the one voted for by others, or else the
/// fallback. A vote tells the UDP port too; with another address, and without any, the ports are
/// those that were set. `tcp6` and `udp6` are left out where they equal `tcp` and `udp`. An
/// unspecified or multicast address, and one of no host, says nothing and is never signed.
///
/// Every change raises the sequence number, and what changes nothing does not; so two different
/// records with one number never exist, as long as [`seq`](LocalRecord::seq) is kept across
/// restarts, stored before the record is shown to anyone. The record is signed when it is first
/// asked for.
///
/// ```
/// # use devp2p_core::{Family, LocalRecord, NodeKey};
/// # let (stored_seq, unix_millis) = (None, 1_700_000_000_000);
/// let mut local = LocalRecord::new(NodeKey::from_bytes(&[7; 32])?, stored_seq, unix_millis)?;
/// local.set_fallback_ip("127.0.0.1".parse()?);
/// local.set_tcp_port(Family::V4, Some(30303));
/// local.set_voted("1.2.3.4:30305".parse()?);
/// assert_eq!(local.record().ip(), Some([1, 2, 3, 4].into()));
/// assert_eq!(local.record().udp(), Some(30305));
/// assert_eq!(local.poll_changed().map(|record| record.seq()), Some(local.seq()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LocalRecord {
    key: NodeKey,
    seq: u64,
    v4: Endpoint,
    v6: Endpoint,
    votes: EndpointVotes,
    entries: BTreeMap<Bytes, Bytes>,
    /// The record of the present content, once someone asked for it.
    signed: OnceLock<Record>,
    /// Whether the content changed since the last [`LocalRecord::poll_changed`].
    changed: bool,
}

/// What is known of this node in one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Endpoint {
    fixed: Option<IpAddr>,
    voted: Option<SocketAddr>,
    fallback: Option<IpAddr>,
    tcp: Option<u16>,
    udp: Option<u16>,
}

/// Sequence numbers from here on are refused as a start: neither a clock nor a counter gets here,
/// so what was stored is damaged, and a counter near its end could not rise for every change.
const SEQ_LIMIT: u64 = 1 << 63;

/// The entries that the endpoints and the key make; subprotocols cannot set them.
const RESERVED: [&[u8]; 8] = [b"id", b"ip", b"ip6", b"secp256k1", b"tcp", b"tcp6", b"udp", b"udp6"];

impl LocalRecord {
    /// A record without endpoints and entries.
    ///
    /// `stored_seq` is the last number of an earlier run, `unix_millis` the wall clock. The
    /// first number is the higher of the clock and the one after the stored one: a node that
    /// lost its store is newer than its own past as well.
    ///
    /// # Errors
    /// [`RecordError::NoHigherSeq`] where either is 2^63 or more, which only a damaged store can be.
    pub fn new(
        key: NodeKey,
        stored_seq: Option<u64>,
        unix_millis: u64,
    ) -> Result<Self, RecordError> {
        let seq = unix_millis.max(stored_seq.map_or(0, |seq| seq.saturating_add(1)));
        if seq >= SEQ_LIMIT {
            return Err(RecordError::NoHigherSeq);
        }
        Ok(Self {
            key,
            seq,
            v4: Endpoint::default(),
            v6: Endpoint::default(),
            votes: EndpointVotes::default(),
            entries: BTreeMap::new(),
            signed: OnceLock::new(),
            changed: true,
        })
    }

    /// The id of this node.
    pub fn id(&self) -> NodeId {
        self.key.id()
    }

    /// The sequence number of the present content.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The present record; signed at the first call after a change.
    pub fn record(&self) -> &Record {
        self.signed.get_or_init(|| self.sign())
    }

    /// The present record, once after every change or run of changes, and once at first.
    pub fn poll_changed(&mut self) -> Option<Record> {
        std::mem::take(&mut self.changed).then(|| self.record().clone())
    }

    /// Fixes the address of its family: nothing that others say overrides it.
    pub fn set_fixed_ip(&mut self, ip: IpAddr) {
        self.update(Family::of(ip), |endpoint| endpoint.fixed = advertisable(ip));
    }

    /// Takes the fixed address of a family back.
    pub fn clear_fixed_ip(&mut self, family: Family) {
        self.update(family, |endpoint| endpoint.fixed = None);
    }

    /// The node at `voter`, which answered a request of ours, sees us at `endpoint`.
    ///
    /// Each /24 or /48 of voters has one vote for 5 minutes. Where 10 agree, and more than half of
    /// a family's votes, that is the voted endpoint, until others win or there is no majority any
    /// more. Too few votes change nothing, and nor do those for an endpoint that the voter cannot
    /// see, by [`check_relay_addr`](crate::check_relay_addr) and the two families.
    pub fn vote(&mut self, now: Instant, voter: IpAddr, endpoint: SocketAddr) {
        match self.votes.vote(now, voter, endpoint) {
            Tally::TooFew => {}
            Tally::Divided => self.clear_voted(Family::of(endpoint.ip())),
            Tally::Agreed(endpoint) => self.set_voted(endpoint),
        }
    }

    /// The endpoint that others see, where that is known without [votes](Self::vote).
    pub fn set_voted(&mut self, addr: SocketAddr) {
        self.update(Family::of(addr.ip()), |endpoint| {
            endpoint.voted = advertisable(addr.ip()).map(|ip| SocketAddr::new(ip, addr.port()));
        });
    }

    /// The votes of a family no longer agree on anything.
    pub fn clear_voted(&mut self, family: Family) {
        self.update(family, |endpoint| endpoint.voted = None);
    }

    /// The address to tell of its family where nothing better is known: that of the listener or
    /// of a port mapping.
    pub fn set_fallback_ip(&mut self, ip: IpAddr) {
        self.update(Family::of(ip), |endpoint| endpoint.fallback = advertisable(ip));
    }

    /// Takes the fallback address of a family back.
    pub fn clear_fallback_ip(&mut self, family: Family) {
        self.update(family, |endpoint| endpoint.fallback = None);
    }

    /// The TCP port of a family. While a family has none, readers take the other's IPv4 port for
    /// IPv6 too (EIP-778).
    pub fn set_tcp_port(&mut self, family: Family, port: Option<u16>) {
        self.update(family, |endpoint| endpoint.tcp = port.filter(|&port| port != 0));
    }

    /// The UDP port of a family, which a vote for the endpoint overrides.
    pub fn set_udp_port(&mut self, family: Family, port: Option<u16>) {
        self.update(family, |endpoint| endpoint.udp = port.filter(|&port| port != 0));
    }

    /// The value of an entry that was set, as RLP.
    pub fn entry(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        self.entries.get(key.as_ref())
    }

    /// Sets an entry; `value` is RLP with its header.
    ///
    /// # Errors
    /// [`RecordError::ReservedKey`] for the entries of the key and the endpoints,
    /// [`RecordError::Value`] where the value is not one RLP item, and
    /// [`RecordError::NoRoom`] where the record would not fit into [`Record::MAX_SIZE`] with
    /// full endpoints of both families. Nothing changes then.
    pub fn set_entry(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl Into<Bytes>,
    ) -> Result<(), RecordError> {
        let (key, value) = (key.as_ref(), value.into());
        if RESERVED.contains(&key) {
            return Err(RecordError::ReservedKey);
        }
        if RlpItem::whole(&value).is_none() {
            return Err(RecordError::Value);
        }
        if self.entries.get(key) == Some(&value) {
            return Ok(());
        }
        let others = self.entries.iter().filter(|(other, _)| other.as_ref() != key);
        let size = others
            .map(|(key, value)| entry_size(key, value))
            .fold(entry_size(key, &value), usize::saturating_add)
            .saturating_add(SIZE_WITHOUT_ENTRIES);
        if size > Record::MAX_SIZE {
            return Err(RecordError::NoRoom { size });
        }
        self.entries.insert(Bytes::copy_from_slice(key), value);
        self.raise();
        Ok(())
    }

    /// Removes an entry that was set.
    pub fn remove_entry(&mut self, key: impl AsRef<[u8]>) {
        if self.entries.remove(key.as_ref()).is_some() {
            self.raise();
        }
    }

    fn update(&mut self, family: Family, change: impl FnOnce(&mut Endpoint)) {
        let before = self.endpoints();
        match family {
            Family::V4 => change(&mut self.v4),
            Family::V6 => change(&mut self.v6),
        }
        if self.endpoints() != before {
            self.raise();
        }
    }

    /// The content has changed.
    fn raise(&mut self) {
        // Cannot saturate: it started below 2^63.
        self.seq = self.seq.saturating_add(1);
        self.signed = OnceLock::new();
        self.changed = true;
    }

    /// The endpoint entries: the addresses, and ports as they stand in the record.
    fn endpoints(&self) -> Advertised {
        let (ip, udp) = self.v4.resolve();
        let (ip6, udp6) = self.v6.resolve();
        Advertised {
            ip,
            ip6,
            tcp: self.v4.tcp,
            tcp6: self.v6.tcp.filter(|_| self.v6.tcp != self.v4.tcp),
            udp,
            udp6: udp6.filter(|_| udp6 != udp),
        }
    }

    #[expect(clippy::expect_used, reason = "every entry and the size were checked when it was set")]
    fn sign(&self) -> Record {
        let Advertised { ip, ip6, tcp, tcp6, udp, udp6 } = self.endpoints();
        let mut builder = Record::builder().seq(self.seq);
        for (key, value) in &self.entries {
            builder = builder.entry(key, value.clone());
        }
        for ip in [ip, ip6].into_iter().flatten() {
            builder = builder.ip(ip);
        }
        for (key, port) in [("tcp", tcp), ("tcp6", tcp6), ("udp", udp), ("udp6", udp6)] {
            if let Some(port) = port {
                builder = builder.port(key, port);
            }
        }
        builder.sign(&self.key).expect("a record of checked parts")
    }
}

/// What the record says of the endpoints.
#[derive(PartialEq, Eq)]
struct Advertised {
    ip: Option<IpAddr>,
    ip6: Option<IpAddr>,
    tcp: Option<u16>,
    tcp6: Option<u16>,
    udp: Option<u16>,
    udp6: Option<u16>,
}

impl Endpoint {
    /// The address and the UDP port to tell.
    fn resolve(&self) -> (Option<IpAddr>, Option<u16>) {
        match (self.fixed, self.voted) {
            (Some(fixed), _) => (Some(fixed), self.udp),
            (None, Some(voted)) => (Some(voted.ip()), Some(voted.port()).filter(|&port| port != 0)),
            (None, None) => (self.fallback, self.udp),
        }
    }
}

/// The address as it may stand in a record.
fn advertisable(ip: IpAddr) -> Option<IpAddr> {
    let ip = ip.to_canonical();
    let class = classify(ip);
    (class.is_unicast() && class != EndpointClass::Reserved).then_some(ip)
}

/// The size of a record with both addresses, all four ports and the highest number, but without
/// other entries: what endpoints may need later is set aside, so that a change of address never
/// fails.
const SIZE_WITHOUT_ENTRIES: usize = LIST_HEADER + SIGNATURE + SEQ + IDENTITY + ADDRESSES + PORTS;
const LIST_HEADER: usize = 3;
const SIGNATURE: usize = 2 + 64;
const SEQ: usize = 1 + 8;
const IDENTITY: usize = (3 + 3) + (10 + 34);
const ADDRESSES: usize = (3 + 5) + (4 + 17);
const PORTS: usize = 2 * ((4 + 3) + (5 + 3));

/// The encoded size of an entry.
fn entry_size(key: &[u8], value: &[u8]) -> usize {
    rlp::encode(&key).len().saturating_add(value.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    const NOW: u64 = 1_700_000_000_000;

    fn local() -> LocalRecord {
        LocalRecord::new(NodeKey::from_bytes(&[7; 32]).unwrap(), None, NOW).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_number_is_above_the_stored_one_and_not_below_the_clock() {
        let start = |stored, now| {
            let key = NodeKey::from_bytes(&[7; 32]).unwrap();
            LocalRecord::new(key, stored, now).map(|local| local.seq())
        };
        assert_eq!(start(None, 5), Ok(5));
        assert_eq!(start(Some(3), 5), Ok(5));
        assert_eq!(start(Some(4), 5), Ok(5));
        assert_eq!(start(Some(5), 5), Ok(6));
        assert_eq!(start(Some(9), 5), Ok(10));
        assert_eq!(start(Some(u64::MAX), 5), Err(RecordError::NoHigherSeq));
        assert_eq!(start(Some(SEQ_LIMIT - 1), 5), Err(RecordError::NoHigherSeq));
        assert_eq!(start(None, u64::MAX), Err(RecordError::NoHigherSeq));
        assert_eq!(RecordError::NoHigherSeq.fault(), Fault::Local, "a record of our own");
        assert_eq!(RecordError::NoRoom { size: 301 }.fault(), Fault::Local);
        assert_eq!(RecordError::Seq.fault(), Fault::Remote, "one that was read");
    }

    #[test]
    fn fixed_beats_voted_beats_fallback_in_each_family() {
        for (one, two, three) in
            [("10.0.0.1", "1.1.1.1", "2.2.2.2"), ("fd00::1", "2a00::1", "2a00::2")]
        {
            let mut local = local();
            let family = Family::of(ip(one));
            let shown = |local: &LocalRecord| {
                let record = local.record();
                match family {
                    Family::V4 => (record.ip().map(IpAddr::V4), record.udp()),
                    Family::V6 => (record.ip6().map(IpAddr::V6), record.udp6()),
                }
            };
            assert_eq!(shown(&local), (None, None));
            local.set_udp_port(family, Some(30_303));
            assert_eq!(shown(&local), (None, Some(30_303)));
            local.set_fallback_ip(ip(one));
            assert_eq!(shown(&local), (Some(ip(one)), Some(30_303)));
            local.set_voted(SocketAddr::new(ip(two), 4_000));
            assert_eq!(shown(&local), (Some(ip(two)), Some(4_000)));
            local.set_fixed_ip(ip(three));
            assert_eq!(shown(&local), (Some(ip(three)), Some(30_303)));
            local.clear_fixed_ip(family);
            assert_eq!(shown(&local), (Some(ip(two)), Some(4_000)));
            local.clear_voted(family);
            assert_eq!(shown(&local), (Some(ip(one)), Some(30_303)));
            local.clear_fallback_ip(family);
            assert_eq!(shown(&local), (None, Some(30_303)));
        }
    }

    #[test]
    fn ports_of_ipv6_are_left_out_where_they_are_those_of_ipv4() {
        let mut local = local();
        local.set_tcp_port(Family::V4, Some(1_111));
        local.set_tcp_port(Family::V6, Some(1_111));
        local.set_udp_port(Family::V6, Some(2_222));
        assert!(local.record().get("tcp6").is_none());
        assert!(local.record().get("udp").is_none());
        assert_eq!((local.record().tcp6(), local.record().udp6()), (Some(1_111), Some(2_222)));

        local.set_tcp_port(Family::V6, Some(1_112));
        assert_eq!((local.record().tcp(), local.record().tcp6()), (Some(1_111), Some(1_112)));
        local.set_tcp_port(Family::V4, None);
        assert_eq!((local.record().tcp(), local.record().tcp6()), (None, Some(1_112)));
    }

    #[test]
    fn addresses_of_no_host_are_never_told() {
        let mut local = local();
        let first = local.seq();
        for nowhere in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"] {
            local.set_fixed_ip(ip(nowhere));
            local.set_voted(SocketAddr::new(ip(nowhere), 1));
            local.set_fallback_ip(ip(nowhere));
        }
        assert_eq!((local.record().ip(), local.record().ip6(), local.seq()), (None, None, first));
        local.set_fallback_ip(ip("::ffff:1.2.3.4"));
        assert_eq!((local.record().ip(), local.record().ip6()), (Some([1, 2, 3, 4].into()), None));
    }

    #[test]
    fn every_change_raises_the_number_and_nothing_else_does() {
        let mut local = local();
        let first = local.poll_changed().unwrap();
        assert_eq!(first.seq(), NOW);
        assert_eq!(local.poll_changed(), None);

        local.set_fallback_ip(ip("1.2.3.4"));
        local.set_fallback_ip(ip("1.2.3.4"));
        local.set_entry("snap", [0xc0].as_slice()).unwrap();
        local.set_entry("snap", [0xc0].as_slice()).unwrap();
        local.remove_entry("eth");
        local.clear_voted(Family::V6);
        assert_eq!(local.seq(), NOW + 2);
        let second = local.poll_changed().unwrap();
        assert_eq!((second.seq(), &second), (NOW + 2, local.record()));
        assert_eq!(second.get("snap"), Some([0xc0].as_slice()));
        assert_eq!(local.poll_changed(), None);

        // Back to an earlier content: still a new number.
        local.remove_entry("snap");
        local.clear_fallback_ip(Family::V4);
        assert_eq!(local.poll_changed().map(|record| record.seq()), Some(NOW + 4));
        // A vote under a fixed address changes nothing that is told.
        local.set_fixed_ip(ip("5.6.7.8"));
        local.set_voted("9.9.9.9:9".parse().unwrap());
        assert_eq!(local.seq(), NOW + 5);
    }

    #[test]
    fn entries_are_checked_and_leave_room_for_every_endpoint() {
        let mut local = local();
        for reserved in RESERVED {
            let set = local.set_entry(reserved, [0x80].as_slice());
            assert_eq!(set, Err(RecordError::ReservedKey));
        }
        for bad in [&[][..], &[0x82, 1], &[0x80, 0x80]] {
            assert_eq!(local.set_entry("x", bad), Err(RecordError::Value));
        }
        assert_eq!(local.seq(), NOW);

        // Fill the room to the last byte.
        let room = Record::MAX_SIZE - SIZE_WITHOUT_ENTRIES;
        let value = |size: usize| rlp::encode(&vec![1_u8; size]).freeze();
        let fitting = room - 1 - 2;
        assert_eq!(
            local.set_entry("x", value(fitting + 1)),
            Err(RecordError::NoRoom { size: Record::MAX_SIZE + 1 })
        );
        local.set_entry("x", value(fitting)).unwrap();
        // Replacing counts the new value instead of the old one.
        local.set_entry("x", value(fitting - 1)).unwrap();
        local.set_entry("x", value(fitting)).unwrap();
        assert!(local.set_entry("y", [0x80].as_slice()).is_err());

        for (index, family) in [Family::V4, Family::V6].into_iter().enumerate() {
            let offset = u16::try_from(index).unwrap();
            local.set_tcp_port(family, Some(60_000 + offset));
            local.set_udp_port(family, Some(61_000 + offset));
        }
        local.set_fixed_ip(ip("200.200.200.200"));
        local.set_fixed_ip(ip("2a00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        local.seq = SEQ_LIMIT;
        local.raise();
        assert_eq!(local.record().as_bytes().len(), Record::MAX_SIZE);
    }
}
