//! What a node keeps of others, counted by the allocator: machines in virtual time, no sockets.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use devp2p_core::{Node, NodeKey, Record, WallClock};
use devp2p_discv5::{Config, Discv5, Output};

use super::HEAP;

/// As many as have places in the table, nearly.
const NODES: u8 = 100;
const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn report() {
    println!("heap of a node for each other one, bytes");
    println!("{:<28} {:>8}", "a session, and its record", kept(false).0);
    let (bytes, tabled) = kept(true);
    println!("{:<28} {bytes:>8}", "the same, and it is asked");
    println!("{:<28} {tabled:>8} of {NODES}\n", "then in the table");
}

/// The bytes for each node that shook hands with us, and how many of those are in the table. Only
/// those with an endpoint in their record can be there.
fn kept(have_endpoints: bool) -> (usize, usize) {
    #[expect(clippy::disallowed_methods, reason = "virtual time starts now")]
    let mut now = Instant::now();
    let mut victim = Machine::new(0, true, now);
    // What is made once is made before anything is counted.
    victim.meet(now, &mut Machine::new(NODES + 1, false, now));
    let before = HEAP.current_usage();
    for number in 1..=NODES {
        now += PAUSE;
        victim.meet(now, &mut Machine::new(number, have_endpoints, now));
    }
    let bytes = (HEAP.current_usage() - before) / usize::from(NODES);
    assert_eq!(victim.machine.usage().sessions, usize::from(NODES) + 1);
    (bytes, victim.machine.table().len())
}

struct Machine {
    machine: Discv5,
    node: Node,
    addr: SocketAddr,
}

impl Machine {
    fn new(number: u8, has_endpoint: bool, now: Instant) -> Self {
        let key = NodeKey::from_bytes(&[number + 1; 32]).unwrap();
        let addr = SocketAddr::from(([30, number, 0, 1], 30_303));
        let mut record = Record::builder().seq(1);
        if has_endpoint {
            record = record.ip(addr.ip()).udp(addr.port());
        }
        let record = record.sign(&key).unwrap();
        let clock = WallClock::new(now, Duration::from_secs(1_700_000_000));
        let mut config = Config::default();
        config.newcomers_wait = false;
        let node = Node::from_record(record.clone());
        let machine = Discv5::new(config, key, record, [number; 32], now, clock);
        Self { machine, node, addr }
    }

    /// The other one asks whether we are there; all that comes of it takes no time.
    fn meet(&mut self, now: Instant, other: &mut Self) {
        other.machine.ping(now, &self.node);
        loop {
            let sent = other.deliver_to(now, self) | self.deliver_to(now, other);
            if !sent {
                break;
            }
        }
    }

    fn deliver_to(&mut self, now: Instant, other: &mut Self) -> bool {
        let mut sent = false;
        self.machine.handle_timeout(now);
        while let Some(output) = self.machine.poll_output() {
            if let Output::Transmit(transmit) = output
                && transmit.to == other.addr
            {
                other.machine.handle_datagram(now, self.addr, &transmit.bytes);
                sent = true;
            }
        }
        sent
    }
}
