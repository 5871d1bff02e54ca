//! The machine in virtual time, with a gateway that a test scripts.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use devp2p_nat::{Config, Event, Mapper, Output, Reply, Request, Socket};
use proptest::prelude::*;

const LATENCY: Duration = Duration::from_millis(5);

/// A machine, and the gateway that it talks to.
struct World {
    start: Instant,
    now: Instant,
    mapper: Mapper,
    gateway: Gateway,
    /// Everything that was asked, with the second.
    asked: Vec<(u64, Request)>,
    /// Everything that was told, with the second.
    told: Vec<(u64, Event)>,
}

#[derive(Clone)]
struct Gateway {
    is_there: bool,
    /// Whether it is found, but does nothing.
    refuses: bool,
    address: Option<IpAddr>,
    lease: Duration,
    /// The port that is given, where it is not the one that is asked for.
    gives: Option<u16>,
    mappings: BTreeMap<Socket, u16>,
}

fn tcp() -> Socket {
    Socket::tcp("0.0.0.0:30303".parse().unwrap())
}

fn udp() -> Socket {
    Socket::udp("0.0.0.0:30304".parse().unwrap())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mapped(socket: Socket, external: &str) -> Event {
    Event::Mapped { socket, external: external.parse().unwrap() }
}

fn lost(socket: Socket, external: &str) -> Event {
    Event::Lost { socket, external: external.parse().unwrap() }
}

impl World {
    fn new(sockets: &[Socket]) -> Self {
        Self::of(|now| Mapper::new(Config::default(), sockets, now))
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do to start from")]
    fn of(mapper: impl FnOnce(Instant) -> Mapper) -> Self {
        let start = Instant::now();
        let gateway = Gateway {
            is_there: true,
            refuses: false,
            address: Some(ip("8.8.4.4")),
            lease: Duration::from_mins(10),
            gives: None,
            mappings: BTreeMap::new(),
        };
        let (asked, told) = (Vec::new(), Vec::new());
        Self { start, now: start, mapper: mapper(start), gateway, asked, told }
    }

    fn second(&self) -> u64 {
        (self.now - self.start).as_secs()
    }

    /// Runs until this second since the start, and gives what was told meanwhile.
    fn until(&mut self, second: u64) -> Vec<(u64, Event)> {
        let end = self.start + Duration::from_secs(second);
        loop {
            match self.mapper.poll_output() {
                Some(Output::Event(event)) => self.told.push((self.second(), event)),
                Some(Output::Request(id, request)) => {
                    self.asked.push((self.second(), request));
                    assert_eq!(self.mapper.poll_output(), None, "one request at a time");
                    let reply = self.gateway.reply(request);
                    self.now += LATENCY;
                    self.mapper.handle_reply(self.now, id, reply);
                }
                Some(_) => unreachable!(),
                None => match self.mapper.poll_timeout() {
                    Some(at) if at <= end => {
                        assert!(at > self.now, "it waits for the past");
                        self.now = at;
                        self.mapper.handle_timeout(at);
                    }
                    _ => break,
                },
            }
        }
        self.now = self.now.max(end);
        std::mem::take(&mut self.told)
    }

    fn stop(&mut self) -> Vec<Event> {
        self.mapper.stop(self.now);
        self.until(self.second() + 1).into_iter().map(|(_, event)| event).collect()
    }

    fn seconds_of(&self, wanted: impl Fn(&Request) -> bool) -> Vec<u64> {
        self.asked.iter().filter(|(_, request)| wanted(request)).map(|&(at, _)| at).collect()
    }
}

impl Gateway {
    fn reply(&mut self, request: Request) -> Reply {
        if !self.is_there || self.refuses && request != Request::Search {
            return Reply::Failed;
        }
        match request {
            Request::Address => self.address.map_or(Reply::Failed, Reply::Address),
            Request::Map { socket, external_port, .. } => {
                let external_port = self.gives.unwrap_or(external_port);
                self.mappings.insert(socket, external_port);
                Reply::Mapped { external_port, lease: self.lease, address: None }
            }
            Request::Search => Reply::Found,
            Request::Unmap { socket, external_port } => {
                let ended = self.mappings.remove(&socket);
                assert_eq!(ended, Some(external_port));
                Reply::Unmapped
            }
            _ => Reply::Failed,
        }
    }
}

#[test]
fn two_sockets_are_mapped_refreshed_and_taken_back() {
    let mut world = World::new(&[tcp(), udp()]);
    let all = [
        Event::Address(Some(ip("8.8.4.4"))),
        mapped(tcp(), "8.8.4.4:30303"),
        mapped(udp(), "8.8.4.4:30304"),
    ];
    let told: Vec<_> = world.until(5).into_iter().map(|(_, event)| event).collect();
    assert_eq!(told, all, "within seconds, and the address first");
    assert_eq!(world.until(3_600), [], "nothing changes");
    let maps = world.seconds_of(|request| matches!(request, Request::Map { .. }));
    assert_eq!(maps[..6], [0, 0, 480, 480, 960, 960], "refreshed after 8 minutes");
    let addresses = world.seconds_of(|request| *request == Request::Address);
    assert_eq!(addresses[..4], [0, 120, 240, 360], "asked for every 2 minutes");
    assert_eq!(world.seconds_of(|request| *request == Request::Search), [0]);

    let told = world.stop();
    let gone = [lost(tcp(), "8.8.4.4:30303"), lost(udp(), "8.8.4.4:30304"), Event::Address(None)];
    assert_eq!(told, gone);
    assert!(world.gateway.mappings.is_empty() && world.mapper.is_finished());
    assert_eq!(world.mapper.poll_timeout(), None);
}

#[test]
fn requests_leave_the_gateway_its_rest() {
    let mut world = World::new(&[tcp(), udp()]);
    world.until(0);
    let at = world.now;
    while world.asked.len() < 4 {
        world.until(world.second() + 1);
    }
    // A search, two mappings and the address, with three breaks.
    assert!(world.now - at >= Duration::from_millis(600));
}

#[test]
fn a_port_that_is_given_instead_is_told_and_asked_for_again() {
    let mut world = World::new(&[tcp()]);
    world.gateway.gives = Some(50_000);
    assert!(world.until(5).contains(&(0, mapped(tcp(), "8.8.4.4:50000"))));
    world.gateway.gives = None;
    world.until(500);
    let wanted = |&(_, request): &(u64, Request)| match request {
        Request::Map { external_port, .. } => Some(external_port),
        _ => None,
    };
    assert_eq!(world.asked.iter().filter_map(wanted).collect::<Vec<_>>(), [30_303, 50_000]);
    // Another one at a refresh: the socket moved, it was not lost.
    world.gateway.gives = Some(50_001);
    let told = world.until(1_000);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1, mapped(tcp(), "8.8.4.4:50001"));
}

#[test]
fn a_refresh_that_fails_is_tried_again_while_the_lease_lasts_and_then_it_is_lost() {
    let mut world = World::new(&[tcp()]);
    world.until(470);
    world.gateway.is_there = false;
    let told = world.until(599);
    assert_eq!(told, [], "the lease lasts");
    let maps = world.seconds_of(|request| matches!(request, Request::Map { .. }));
    assert_eq!(maps[..3], [0, 480, 540]);
    let told = world.until(601);
    assert_eq!(told, [(600, lost(tcp(), "8.8.4.4:30303")), (600, Event::Address(None))]);

    // It is looked for every 5 minutes, and back when it is.
    world.until(2_000);
    let searches = world.seconds_of(|request| *request == Request::Search);
    let after: Vec<_> = searches.into_iter().filter(|&at| at > 600).collect();
    assert!(after.len() >= 3 && after[0] < 1_000, "{after:?}");
    assert!(after.windows(2).all(|two| two[1] - two[0] >= 300), "{after:?}");
    world.gateway.is_there = true;
    let told: Vec<_> = world.until(2_400).into_iter().map(|(_, event)| event).collect();
    assert_eq!(told, [Event::Address(Some(ip("8.8.4.4"))), mapped(tcp(), "8.8.4.4:30303")]);
}

#[test]
fn a_gateway_that_is_away_for_a_moment_loses_nothing() {
    let mut world = World::new(&[tcp(), udp()]);
    world.until(475);
    world.gateway.is_there = false;
    world.until(530);
    world.gateway.is_there = true;
    assert_eq!(world.until(3_000), []);
}

#[test]
fn where_there_is_no_gateway_it_is_looked_for_every_five_minutes() {
    let mut world = World::new(&[tcp()]);
    world.gateway.is_there = false;
    assert_eq!(world.until(1_000), []);
    assert_eq!(world.asked.len(), 4);
    assert_eq!(world.seconds_of(|request| *request == Request::Search), [0, 300, 600, 900]);
    assert_eq!(world.stop(), []);
    assert!(world.mapper.is_finished());
}

#[test]
fn one_that_refuses_everything_is_not_asked_without_end() {
    let mut world = World::new(&[tcp(), udp()]);
    world.gateway.refuses = true;
    assert_eq!(world.until(3_600), []);
    assert!(world.asked.len() < 80, "{} requests in an hour", world.asked.len());
}

#[test]
fn a_new_address_is_told_and_the_ports_are_asked_for_at_once() {
    let mut world = World::new(&[tcp()]);
    world.until(100);
    world.gateway.address = Some(ip("9.9.9.9"));
    let told = world.until(125);
    let moved = [Event::Address(Some(ip("9.9.9.9"))), mapped(tcp(), "9.9.9.9:30303")];
    assert_eq!(told.into_iter().map(|(_, event)| event).collect::<Vec<_>>(), moved);
    let maps = world.seconds_of(|request| matches!(request, Request::Map { .. }));
    assert_eq!(maps, [0, 120]);
}

#[test]
fn an_address_that_nobody_can_reach_is_not_told() {
    let mut world = World::new(&[tcp()]);
    for hidden in ["192.168.7.2", "100.64.0.9", "127.0.0.1", "0.0.0.0", "255.255.255.255"] {
        world.gateway.address = Some(ip(hidden));
        let told = world.until(world.second() + 130);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].1, Event::Hidden { address: ip(hidden) });
    }
    world.gateway.address = Some(ip("8.8.4.4"));
    assert_eq!(world.until(world.second() + 130).len(), 2);
    world.gateway.address = Some(ip("10.0.0.1"));
    let told: Vec<_> = world.until(world.second() + 130).into_iter().map(|told| told.1).collect();
    let hidden = Event::Hidden { address: ip("10.0.0.1") };
    assert_eq!(told, [lost(tcp(), "8.8.4.4:30303"), Event::Address(None), hidden]);
}

#[test]
fn short_leases_are_refreshed_before_their_end_and_long_ones_are_not_relied_on() {
    let mut world = World::new(&[tcp()]);
    world.gateway.lease = Duration::from_mins(2);
    assert_eq!(world.until(5).len(), 2);
    assert_eq!(world.until(600), []);
    let maps = world.seconds_of(|request| matches!(request, Request::Map { .. }));
    assert_eq!(maps[..3], [0, 90, 180]);
    // A lease of no time is none, and one of a second is not chased.
    for (lease, told) in [(0, 0), (1, 1)] {
        let mut world = World::new(&[tcp()]);
        world.gateway.lease = Duration::from_secs(lease);
        let mapped = |told: &[(u64, Event)]| {
            told.iter().filter(|(_, event)| matches!(event, Event::Mapped { .. })).count()
        };
        assert!(mapped(&world.until(200)) <= told);
        assert!(world.asked.len() < 20, "{}", world.asked.len());
    }
    let mut world = World::new(&[tcp()]);
    world.gateway.lease = Duration::MAX;
    world.until(5);
    world.gateway.is_there = false;
    assert_eq!(world.until(601).len(), 2, "lost after 10 minutes all the same");
}

#[test]
fn sockets_that_are_not_to_be_mapped_ask_for_nothing() {
    let socket = |address: &str| Socket::tcp(address.parse().unwrap());
    for sockets in [vec![], vec![socket("127.0.0.1:30303"), socket("192.168.0.2:1")]] {
        let mut world = World::new(&sockets);
        assert_eq!(world.until(10_000), []);
        assert_eq!(world.asked, []);
        assert_eq!(world.mapper.poll_timeout(), None);
        assert_eq!(world.stop(), []);
        assert!(world.mapper.is_finished());
    }
    let mut world = World::new(&[socket("127.0.0.1:1"), tcp()]);
    world.until(5);
    assert_eq!(world.gateway.mappings.len(), 1);
}

#[test]
fn who_learns_the_address_alone_maps_nothing_and_forgets_it_when_nobody_answers() {
    let mut world = World::of(|now| Mapper::address_only(Config::default(), &[tcp(), udp()], now));
    assert_eq!(world.until(5), [(0, Event::Address(Some(ip("8.8.4.4"))))]);
    world.gateway.address = None;
    assert_eq!(world.until(350), [], "one that does not answer at once may yet");
    let told = world.until(370);
    assert_eq!(told, [(360, Event::Address(None))]);
    world.gateway.address = Some(ip("2a00::1"));
    assert_eq!(world.until(700).len(), 1);
    assert!(!world.asked.iter().any(|(_, request)| matches!(request, Request::Map { .. })));
    assert_eq!(world.stop(), [Event::Address(None)]);

    let loopback = Socket::tcp("127.0.0.1:1".parse().unwrap());
    let mut world = World::of(|now| Mapper::address_only(Config::default(), &[loopback], now));
    world.until(1_000);
    assert_eq!(world.asked, []);
}

#[test]
fn a_stop_in_the_middle_of_a_mapping_takes_it_back() {
    let mut world = World::new(&[tcp()]);
    let Some(Output::Request(search, Request::Search)) = world.mapper.poll_output() else {
        panic!("it searches first");
    };
    world.mapper.handle_reply(world.now, search, Reply::Found);
    world.now += Duration::from_secs(1);
    world.mapper.handle_timeout(world.now);
    let Some(Output::Request(map, request @ Request::Map { .. })) = world.mapper.poll_output()
    else {
        panic!("then it maps");
    };
    let late = world.gateway.reply(request);
    assert_eq!(world.stop(), []);
    assert!(world.gateway.mappings.is_empty() && world.mapper.is_finished());
    world.mapper.handle_reply(world.now, map, late);
    assert_eq!(world.mapper.poll_output(), None, "nobody waits for that any more");
}

#[test]
fn a_stop_does_not_wait_for_a_gateway_that_is_gone() {
    let mut world = World::new(&[tcp(), udp()]);
    world.until(5);
    world.mapper.stop(world.now);
    let mut told = 0;
    while let Some(output) = world.mapper.poll_output() {
        told += usize::from(matches!(output, Output::Event(_)));
    }
    assert_eq!(told, 3, "at once");
    let end = world.mapper.poll_timeout().unwrap();
    assert_eq!(end - world.now, Config::default().stop_patience);
    assert!(!world.mapper.is_finished());
    world.mapper.handle_timeout(end);
    assert!(world.mapper.is_finished());
    assert_eq!((world.mapper.poll_output(), world.mapper.poll_timeout()), (None, None));
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Gateway { is_there: bool, refuses: bool },
    Address(Option<u8>),
    Gives(Option<u16>),
    Lease(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..1_200_u64).prop_map(Step::Wait),
        (any::<bool>(), any::<bool>())
            .prop_map(|(is_there, refuses)| Step::Gateway { is_there, refuses }),
        prop::option::of(any::<u8>()).prop_map(Step::Address),
        prop::option::of(1..=u16::MAX).prop_map(Step::Gives),
        (0..2_000_u64).prop_map(Step::Lease),
    ]
}

proptest! {
    /// Whatever a gateway does: what was told is what holds, requests have an end, and nothing is
    /// left behind.
    #[test]
    fn what_is_told_is_consistent(steps in prop::collection::vec(step(), 1..24)) {
        let mut world = World::new(&[tcp(), udp()]);
        let mut address = None;
        let mut endpoints = BTreeMap::new();
        let mut told = Vec::new();
        for step in steps {
            match step {
                Step::Wait(seconds) => told.extend(world.until(world.second() + seconds)),
                Step::Gateway { is_there, refuses } => {
                    (world.gateway.is_there, world.gateway.refuses) = (is_there, refuses);
                }
                Step::Address(last) => {
                    world.gateway.address = last.map(|last| [8, 8, 4, last].into());
                }
                Step::Gives(port) => world.gateway.gives = port,
                Step::Lease(seconds) => world.gateway.lease = Duration::from_secs(seconds),
            }
        }
        let hours = world.second() / 3_600 + 1;
        prop_assert!(world.asked.len() as u64 <= hours * 500, "{}", world.asked.len());
        world.gateway.refuses = false;
        world.gateway.is_there = true;
        let end = world.second();
        // What the gateway took back by itself is no concern of the test.
        world.mapper.stop(world.now);
        while let Some(output) = world.mapper.poll_output() {
            match output {
                Output::Event(event) => told.push((end, event)),
                Output::Request(id, _) => world.mapper.handle_reply(world.now, id, Reply::Unmapped),
                _ => unreachable!(),
            }
        }
        for (_, event) in told {
            match event {
                Event::Address(now) => {
                    prop_assert!(now != address);
                    address = now;
                }
                Event::Mapped { socket, external } => {
                    prop_assert_eq!(Some(external.ip()), address);
                    prop_assert!(endpoints.insert(socket, external) != Some(external));
                }
                Event::Lost { socket, external } => {
                    prop_assert_eq!(endpoints.remove(&socket), Some(external));
                }
                _ => {}
            }
        }
        prop_assert!(world.mapper.is_finished() && endpoints.is_empty() && address.is_none());
    }
}
