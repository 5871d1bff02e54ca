//! What strangers send takes memory for the moment only, whoever they say they are.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use devp2p_core::{NodeKey, Record, WallClock};
use devp2p_discv4::{
    Config, Discv4,
    wire::{
        Endpoint, EnrRequest, EnrResponse, FindNode, Neighbors, Packet, Ping, Pong, Target, VERSION,
    },
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const START: u64 = 1_700_000_000;
const KIB: usize = 1 << 10;

/// One test, since the heap is one.
#[test]
fn a_hundred_thousand_forged_packets_take_a_mebibyte_at_most_and_give_it_back() {
    let key = |number: u16| {
        let mut secret = [0xaa; 32];
        secret[..2].copy_from_slice(&number.to_be_bytes());
        NodeKey::from_bytes(&secret).unwrap()
    };
    let packets: Vec<_> = (1..=1_000)
        .flat_map(|number| packets().map(|packet| packet.seal(&key(number)).unwrap().bytes))
        .collect();

    #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
    let mut now = Instant::now();
    let clock = WallClock::new(now, Duration::from_secs(START));
    let own = key(0);
    let record = Record::builder().seq(1).ip([1, 2, 3, 4].into()).udp(30303).sign(&own).unwrap();
    let mut machine = Discv4::new(Config::default(), own, record, [7; 32], now, clock);
    machine.handle_timeout(now);
    while machine.poll_output().is_some() {}

    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    for number in 0..100_000_u32 {
        now += Duration::from_micros(50);
        while machine.poll_timeout().is_some_and(|due| due <= now) {
            machine.handle_timeout(now);
        }
        // No two from the same prefix.
        let from = SocketAddr::from((Ipv4Addr::from_bits(0x2000_0009 + (number << 8)), 30303));
        let packet = &packets[usize::try_from(number).unwrap() % packets.len()];
        machine.handle_datagram(now, from, packet);
        while machine.poll_output().is_some() {}
    }
    let peak = HEAP.peak_usage() - before;
    let sent = machine.statistics().bytes_to_unproven;
    assert!(sent > 500_000, "a part of them was listened to, and answered: {sent}");
    assert!(peak < KIB * KIB, "{peak} bytes");

    now += Duration::from_secs(1);
    machine.handle_timeout(now);
    while machine.poll_output().is_some() {}
    // What is left is who was refused: in a table of one size.
    let left = HEAP.current_usage().saturating_sub(before);
    assert!(left < 512 * KIB, "{left} bytes");
    assert_eq!(machine.usage().bonds + machine.table().len(), 0);
}

/// One packet of each kind.
fn packets() -> [Packet; 6] {
    let expiration = START + 1_000;
    let (to, enr_seq) = (Endpoint::new("1.2.3.4:30303".parse().unwrap(), 0), Some(7));
    [
        Packet::Ping(Ping { version: VERSION, from: to, to, expiration, enr_seq }),
        Packet::Pong(Pong { to, ping_hash: [7; 32], expiration, enr_seq }),
        Packet::FindNode(FindNode { target: Target::new([9; 64]), expiration }),
        Packet::Neighbors(Neighbors { nodes: vec![], expiration }),
        Packet::EnrRequest(EnrRequest { expiration }),
        Packet::EnrResponse(EnrResponse { request_hash: [7; 32], record: vec![0xc0].into() }),
    ]
}
