//! What strangers send takes a fixed amount of memory, whoever they say they are.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use devp2p_core::{NodeId, NodeKey, Record, Rng, WallClock};
use devp2p_discv5::{
    Config, Discv5, Event, Output,
    wire::{Masking, ProtocolId},
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// One test, since the heap is one.
#[test]
fn three_hundred_thousand_forged_senders_take_no_more_than_the_tables_and_stop_nobody() {
    let [own, friend] = [1, 2].map(|byte| NodeKey::from_bytes(&[byte; 32]).unwrap());
    let [here, there] = [1, 2].map(|host| SocketAddr::from(([20, 0, 0, host], 30303)));
    #[expect(clippy::disallowed_methods, reason = "an anchor for virtual time")]
    let mut now = Instant::now();
    let clock = WallClock::new(now, Duration::from_secs(1_700_000_000));
    let record = |key: &NodeKey, at: SocketAddr| {
        Record::builder().seq(1).ip(at.ip()).udp(at.port()).sign(key).unwrap()
    };
    let machine = |key: &NodeKey, at: SocketAddr| {
        let record = record(key, at);
        Discv5::new(Config::default(), key.clone(), record, [7; 32], now, clock)
    };
    let (mut victim, mut honest) = (machine(&own, here), machine(&friend, there));
    let node = devp2p_core::Node::from_record(victim.record().clone());
    let to_victim = Masking::new(own.id(), ProtocolId::default());

    let (mut rng, mut id) = (Rng::from_seed([9; 32]), [0; 32]);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let mut answered = 0_u32;
    // A third of a second.
    for _ in 0..300_000_u32 {
        now += Duration::from_micros(1);
        rng.fill(&mut id);
        let packet = to_victim.random_packet(NodeId::new(id), &mut rng);
        // Any address of 32.0.0.0/3.
        let ip = Ipv4Addr::from_bits(0x2000_0000 | u32::try_from(rng.below(1 << 29)).unwrap());
        victim.handle_datagram(now, SocketAddr::from((ip, 30303)), &packet);
        while let Some(output) = victim.poll_output() {
            answered += u32::from(matches!(output, Output::Transmit(_)));
        }
    }
    let peak = HEAP.peak_usage() - before;
    assert!(answered > 290_000, "{answered}");
    assert!(peak < 6 * MIB, "{peak} bytes");
    assert_eq!(victim.usage().sessions, 0);
    assert_eq!(victim.table().len(), 0);

    // The next one means well, and is answered after its two round trips.
    let query = honest.ping(now, &node);
    let (mut packets, mut is_answered) = (0_u32, false);
    while !is_answered {
        let mut is_idle = true;
        while let Some(output) = honest.poll_output() {
            is_idle = false;
            match output {
                Output::Transmit(sent) => {
                    packets += 1;
                    victim.handle_datagram(now, there, &sent.bytes);
                }
                Output::Event(event) => {
                    let is_pong = matches!(event, Event::Pong { .. });
                    is_answered |= is_pong && event.query() == Some(query);
                }
            }
        }
        while let Some(output) = victim.poll_output() {
            is_idle = false;
            if let Output::Transmit(sent) = output {
                assert_eq!(sent.to, there);
                honest.handle_datagram(now, here, &sent.bytes);
            }
        }
        assert!(!is_idle || is_answered, "no answer");
    }
    assert!(packets >= 2);
}
