//! What is sent, and from where.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use devp2p_core::{NodeKey, Rng};
use devp2p_discv4::wire::{
    Endpoint, FindNode, MAX_NEIGHBORS, MAX_PACKET_SIZE, Neighbor, Neighbors, Packet, Ping, Pong,
    Target, VERSION,
};

/// The address of those who have a flooder for a neighbour.
pub(crate) const SHARED: Ipv4Addr = Ipv4Addr::new(127, 66, 6, 6);
/// How long a sender sleeps. At 20,000 a second it then has ten packets to send.
const TICK: Duration = Duration::from_micros(500);
/// How many packets a sender that was held up sends at once. More would be another flood.
const MAX_BURST: f64 = 200.0;
/// The flooders' ports. The system gives none of these to others.
const PORT: u16 = 20_000;
const PORTS: u32 = 64;
/// The prefixes that there are to flood from.
const PREFIXES: u32 = 255 << 8;
/// After all tests, and to any clock in time.
const EXPIRATION: u64 = 4_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Random bytes of random sizes.
    Junk,
    /// Packets of the largest size and a type that there is.
    BadHash,
    /// As large as they are.
    Neighbors,
    /// Answers to PINGs that nobody sent.
    Pongs,
    /// All but the time is right.
    Expired,
    /// From the address of other nodes.
    PingsFromOnePrefix,
    /// From more prefixes than it takes to use up the rate of all strangers.
    PingsFromThousandPrefixes,
    /// No two packets in a second from one prefix.
    PingsFromEverNewPrefixes,
    /// The same.
    FindNodesFromEverNewPrefixes,
    /// All of them in turns.
    Mixed,
    /// The same, as fast as it goes.
    Unpaced,
}

/// The packets, made before they are needed.
///
/// There are fewer than are sent, so keys come again after seconds. To a node that keeps nothing
/// of those who have proved nothing, they are as new as ever.
pub(crate) struct Packets {
    junk: Vec<Vec<u8>>,
    bad_hash: Vec<Vec<u8>>,
    neighbors: Vec<Vec<u8>>,
    pongs: Vec<Vec<u8>>,
    expired: Vec<Vec<u8>>,
    pings: Vec<Vec<u8>>,
    find_nodes: Vec<Vec<u8>>,
}

impl Attack {
    pub(crate) const ALL: [Self; 11] = [
        Self::Junk,
        Self::BadHash,
        Self::Neighbors,
        Self::Pongs,
        Self::Expired,
        Self::PingsFromOnePrefix,
        Self::PingsFromThousandPrefixes,
        Self::PingsFromEverNewPrefixes,
        Self::FindNodesFromEverNewPrefixes,
        Self::Mixed,
        Self::Unpaced,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Junk => "random bytes",
            Self::BadHash => "1,280 bytes, bad hash",
            Self::Neighbors => "NEIGHBORS, not asked for",
            Self::Pongs => "PONG, not asked for",
            Self::Expired => "PING, expired",
            Self::PingsFromOnePrefix => "PING, new keys, 1 prefix",
            Self::PingsFromThousandPrefixes => "the same, 1,000 prefixes",
            Self::PingsFromEverNewPrefixes => "the same, new prefixes",
            Self::FindNodesFromEverNewPrefixes => "FINDNODE, the same",
            Self::Mixed => "all of them",
            Self::Unpaced => "all of them, at once",
        }
    }

    /// Whether it is made at a steady rate.
    pub(crate) fn is_paced(self) -> bool {
        self != Self::Unpaced
    }

    /// Sends so many packets, at that many a second or as fast as it goes.
    pub(crate) fn run(self, packets: &Packets, to: SocketAddr, count: u32, rate: Option<u32>) {
        // Each has senders of its own, so that none of them comes again.
        let first = (self as u32) << 20;
        let (mut number, end) = (first, first + count);
        let (mut credit, mut last) = (0.0_f64, Instant::now());
        while number < end {
            if let Some(rate) = rate {
                thread::sleep(TICK);
                let earned = last.elapsed().as_secs_f64() * f64::from(rate);
                last = Instant::now();
                credit = (credit + earned).min(MAX_BURST);
            } else {
                credit = MAX_BURST;
            }
            while credit >= 1.0 && number < end {
                self.send(packets, number, to);
                (number, credit) = (number + 1, credit - 1.0);
            }
        }
    }

    /// Every packet has a socket of its own: a system has addresses by the million, and not as many
    /// sockets at once.
    fn send(self, packets: &Packets, number: u32, to: SocketAddr) {
        let (pool, from) = match self {
            Self::Mixed | Self::Unpaced => {
                let kind = Self::ALL[number as usize % (Self::ALL.len() - 2)];
                return kind.send(packets, number, to);
            }
            Self::Junk => (&packets.junk, any_prefix(number)),
            Self::BadHash => (&packets.bad_hash, any_prefix(number)),
            Self::Neighbors => (&packets.neighbors, any_prefix(number)),
            Self::Pongs => (&packets.pongs, any_prefix(number)),
            Self::Expired => (&packets.expired, any_prefix(number)),
            Self::PingsFromOnePrefix => (&packets.pings, SHARED),
            Self::PingsFromThousandPrefixes => (&packets.pings, any_prefix(number % 1_000)),
            Self::PingsFromEverNewPrefixes => (&packets.pings, any_prefix(number)),
            Self::FindNodesFromEverNewPrefixes => (&packets.find_nodes, any_prefix(number)),
        };
        let socket = UdpSocket::bind((from, PORT + (number % PORTS) as u16)).unwrap();
        // The system may be out of memory for a moment.
        let _ = socket.send_to(&pool[number as usize % pool.len()], to);
    }
}

/// An address of the prefix of this number: any but those in 127.0.0.0/16, where others are. After
/// all prefixes come other addresses in them, as those who forge theirs can have any.
fn any_prefix(number: u32) -> Ipv4Addr {
    let (prefix, host) = (number % PREFIXES + (1 << 8), number / PREFIXES + 1);
    Ipv4Addr::new(127, (prefix >> 8) as u8, prefix as u8, host as u8)
}

impl Packets {
    /// So many of each kind that has new keys.
    pub(crate) fn new(count: usize) -> Self {
        let mut rng = Rng::from_seed([7; 32]);
        let mut random = |size: usize| {
            let mut bytes = vec![0; size];
            rng.fill(&mut bytes);
            bytes
        };
        let junk = (0..4_096).map(|at| random(98 + at % (MAX_PACKET_SIZE - 97))).collect();
        let mut bad_hash = vec![random(MAX_PACKET_SIZE)];
        bad_hash[0][97] = 1;
        let mut keys = || NodeKey::from_bytes(&random(32).try_into().unwrap()).unwrap();

        let far = Endpoint::new("192.0.2.1:30303".parse().unwrap(), 30303);
        let ping = |expiration| {
            let (from, to, enr_seq) = (far, far, Some(1));
            Packet::Ping(Ping { version: VERSION, from, to, expiration, enr_seq })
        };
        let neighbor = |public_key| Neighbor {
            ip: "2001:db8::1".parse().unwrap(),
            udp: 30303,
            tcp: 30303,
            public_key,
        };
        let nodes = (0..MAX_NEIGHBORS).map(|_| neighbor(keys().public_key())).collect();
        let pong = Pong { to: far, ping_hash: [7; 32], expiration: EXPIRATION, enr_seq: Some(1) };
        let find_node = FindNode { target: Target::new([8; 64]), expiration: EXPIRATION };
        let mut sealed = |count: usize, packet: Packet| -> Vec<Vec<u8>> {
            (0..count).map(|_| packet.seal(&keys()).unwrap().bytes.to_vec()).collect()
        };
        Self {
            junk,
            bad_hash,
            neighbors: sealed(1, Packet::Neighbors(Neighbors { nodes, expiration: EXPIRATION })),
            pongs: sealed(1_000, Packet::Pong(pong)),
            expired: sealed(1_000, ping(1_000_000_000)),
            pings: sealed(count, ping(EXPIRATION)),
            find_nodes: sealed(count, Packet::FindNode(find_node)),
        }
    }
}
