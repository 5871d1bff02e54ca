use std::{net::SocketAddr, time::Instant};

use devp2p_simnet::{Host, Link, MAX_IN_FLIGHT, MAX_WORK_PER_INSTANT, Transmit, World};

use crate::support::{address, ms, secs};

/// Sends so many datagrams whenever its timer fires, and sets that to where it was.
struct Flood {
    rest: u64,
    burst: u64,
    timer: Option<Instant>,
    pause: std::time::Duration,
}

impl Host for Flood {
    fn handle_datagram(&mut self, _now: Instant, _from: SocketAddr, _bytes: &[u8]) {}
    fn handle_timeout(&mut self, now: Instant) {
        self.rest = self.burst;
        self.timer = Some(now + self.pause);
    }
    fn poll_transmit(&mut self) -> Option<Transmit> {
        self.rest = self.rest.checked_sub(1)?;
        Some(Transmit::datagram(address(1), vec![].into()))
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.timer
    }
}

fn flood(burst: u64, pause: std::time::Duration) -> World<Flood> {
    let mut world = World::new(7, Link::with_latency(secs(60)));
    world.spawn(address(1), Flood { rest: 0, burst: 0, timer: None, pause });
    let timer = Some(world.now() + secs(1));
    world.spawn(address(0), Flood { rest: 0, burst, timer, pause });
    world
}

#[test]
#[should_panic(expected = "HostId(1) at [192.0.2.0:30303] sent or woke 100000 times at 1s")]
fn a_host_that_sends_for_ever_is_caught() {
    flood(u64::MAX, secs(1)).run_for(secs(2));
}

#[test]
#[should_panic(expected = "HostId(1) at [192.0.2.0:30303] sent or woke 100000 times at 1s")]
fn a_host_whose_timeout_never_moves_is_caught() {
    flood(0, ms(0)).run_for(secs(2));
}

#[test]
fn much_work_is_no_loop_where_time_passes() {
    let mut world = flood(u64::from(MAX_WORK_PER_INSTANT) - 1, ms(1));
    world.run_for(ms(1_003));
    assert_eq!(world.statistics().sent, 4 * u64::from(MAX_WORK_PER_INSTANT - 1));
}

#[test]
fn what_is_too_much_in_flight_is_dropped_and_counted() {
    let mut world = flood(60_000, ms(1));
    world.run_for(ms(1_019));
    assert_eq!(world.statistics().sent, 1_200_000);
    assert_eq!(world.in_flight(), MAX_IN_FLIGHT);
    assert_eq!(world.statistics().lost.overflow, 1_200_000 - MAX_IN_FLIGHT as u64);
}
