//! Who is banned is not dialed, not let in, and disconnected, until the ban is over.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use devp2p_core::{Ban, BanTarget, MAX_BANS, Node, NodeId, NodeKey, Record};
use devp2p_dial::{DialKind, Refusal};
use devp2p_peer::{Capability, Direction, DisconnectReason as Reason, Hello};
use devp2p_server::{Admission, BanError, DialOutcome, Output, SetupFailure, Unwelcome};

use super::world::{OWN, World, id, node};

const MINUTE: Duration = Duration::from_secs(60);
const UNIX: u64 = 1_700_000_000;

fn target(text: &str) -> BanTarget {
    text.parse().unwrap()
}

fn ban(world: &mut World, target: impl Into<BanTarget>, duration: Option<Duration>) {
    assert_eq!(world.core.ban(world.now, UNIX, target.into(), duration), Ok(()));
}

fn open() -> World {
    World::new(|config| config.inbound.per_address = Duration::ZERO)
}

fn disconnected(world: &mut World) -> Vec<NodeId> {
    let disconnected = world.outputs().into_iter().map(|output| match output {
        Output::Disconnect { id, reason: Reason::Requested } => id,
        other => panic!("{other:?}"),
    });
    disconnected.collect()
}

#[test]
fn a_banned_address_is_closed_before_a_byte_is_read() {
    let mut world = open();
    ban(&mut world, target("8.8.8.0/24"), None);
    for address in ["8.8.8.8", "::ffff:8.8.8.9"] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(world.accept(address), Err(Unwelcome::Banned));
    }
    assert!(world.accept("8.8.9.8".parse::<IpAddr>().unwrap()).is_ok());
    assert_eq!(world.core.counters().unwelcome[&Unwelcome::Banned], 2);
    assert!(world.core.unban(world.now, &target("8.8.8.0/24")));
    assert!(!world.core.unban(world.now, &target("8.8.8.0/24")), "it is over");
    assert!(world.accept("8.8.8.8".parse::<IpAddr>().unwrap()).is_ok());
}

#[test]
fn a_banned_node_is_refused_at_both_checkpoints_however_trusted() {
    let mut world = open();
    world.core.add_trusted_peer(id(1));
    let (early, late) = (world.inbound(), world.inbound());
    assert_eq!(world.secure(early, 1), Ok(()));
    ban(&mut world, id(1), None);
    assert_eq!(world.greet(early, 1), Err(Reason::Requested));
    assert_eq!(world.secure(late, 1), Err(Reason::Requested));
    assert_eq!(world.core.counters().refused[&Reason::Requested], 2);
    world.admit(2, Direction::Inbound);
}

#[test]
fn a_stream_that_is_handed_in_has_an_address_at_the_second_checkpoint() {
    let mut world = open();
    ban(&mut world, target("10.0.0.0/8"), None);
    let setup = world.core.begin_setup(Direction::Inbound, None).unwrap();
    assert_eq!(world.secure(setup, 1), Ok(()));
    let from = Some("10.0.0.7".parse().unwrap());
    assert_eq!(world.greet_from(setup, 1, from), Err(Reason::Requested));
}

#[test]
fn peers_are_disconnected_by_id_and_by_where_they_are() {
    let mut world = open();
    world.core.add_trusted_peer(id(1));
    world.admit(1, Direction::Inbound);
    // It is at 10.0.0.2.
    world.admit(2, Direction::Outbound);
    let setup = world.inbound();
    world.secure(setup, 3).unwrap();
    world.greet_from(setup, 3, Some("10.0.1.3".parse().unwrap())).unwrap();
    world.outputs();

    ban(&mut world, id(1), Some(MINUTE));
    assert_eq!(disconnected(&mut world), [id(1)]);
    ban(&mut world, target("10.0.0.0/24"), Some(MINUTE));
    assert_eq!(disconnected(&mut world), [id(2)]);
    ban(&mut world, target("10.0.1.3"), Some(MINUTE));
    assert_eq!(disconnected(&mut world), [id(3)]);
}

#[test]
fn a_banned_node_is_not_dialed_until_the_ban_is_over() {
    for (n, target) in [(1, id(1).into()), (2, target("10.0.0.2"))] {
        let mut world = open();
        ban(&mut world, target, Some(MINUTE));
        world.order(n);
        world.core.handle_timeout(world.now);
        assert!(world.outputs().is_empty(), "{n}");
        assert_eq!(world.told(), ["done 1 Refused"], "the scheduler hears of it at once");
        assert_eq!(world.core.pending(), 0);
        let record = &world.core.dial_status(world.now).recent[0];
        assert_eq!((record.id, record.outcome), (id(n), DialOutcome::Failed(SetupFailure::Banned)));
        assert_eq!(world.core.handle_candidate(world.now, node(n)), Err(Refusal::Banned));

        world.wait(MINUTE);
        world.dial(n);
        assert_eq!(world.core.handle_candidate(world.now, node(n)), Err(Refusal::NoSlot));
    }
}

#[test]
fn whom_the_scheduler_knew_at_its_construction_is_not_dialed_either() {
    let mut world = World::with_orders(&[1, 2]);
    let of_earlier = Ban::new(id(1).into(), UNIX, None);
    world.core.restore_bans(world.now, UNIX, vec![of_earlier]);
    let dialed: Vec<NodeId> = world
        .outputs()
        .into_iter()
        .map(|output| match output {
            Output::Dial { node, .. } => node.id(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((dialed, world.core.pending()), (vec![id(2)], 1));
    assert_eq!(world.told(), ["done 1 Refused"]);
}

/// It would be dialed at any of them.
#[test]
fn a_node_with_several_addresses_is_banned_with_each_of_them() {
    let key = NodeKey::from_bytes(&[7; 32]).unwrap();
    let record = Record::builder()
        .ip("8.8.8.8".parse().unwrap())
        .ip("2001:4860::8".parse().unwrap())
        .tcp(30303)
        .tcp6(30303)
        .sign(&key)
        .unwrap();
    let both = Node::from_record(record);
    assert_eq!(both.tcp_addrs().len(), 2);
    for banned in ["8.8.8.0/24", "2001:4860::/32"] {
        let mut world = open();
        let setup = world.dial_as(both.clone(), DialKind::Static);
        assert_eq!(world.core.handle_secured(world.now, setup, key.public_key()), Ok(()));
        let hello = Hello::new("both", vec![Capability::new("test", 1)], key.public_key());
        let shared = [Capability::new("test", 1)];
        let at = |ip: &str| (None, Some(SocketAddr::new(ip.parse().unwrap(), 30303)));
        let added = world.core.handle_hello(world.now, setup, &hello, &shared, at("8.8.8.8"));
        assert_eq!(added, Ok(Admission::Added(key.id())));
        world.outputs();
        ban(&mut world, target(banned), Some(MINUTE));
        assert_eq!(disconnected(&mut world), [key.id()], "{banned}");
        let candidate = world.core.handle_candidate(world.now, both.clone());
        assert_eq!(candidate, Err(Refusal::Banned), "{banned}");
    }
    // And where the stream leads is what counts, whatever was dialed.
    let mut world = open();
    let setup = world.dial(1);
    ban(&mut world, target("8.8.8.8"), None);
    assert_eq!(world.secure(setup, 1), Ok(()));
    assert_eq!(world.greet_from(setup, 1, "8.8.8.8".parse().ok()), Err(Reason::Requested));
}

#[test]
fn a_dial_that_is_under_way_ends_at_the_checkpoint() {
    let mut world = open();
    let (first, second) = (world.dial(1), world.dial(2));
    ban(&mut world, id(1), None);
    ban(&mut world, target("10.0.0.2"), None);
    assert_eq!(world.secure(first, 1), Err(Reason::Requested));
    assert_eq!(world.secure(second, 2), Err(Reason::Requested));
}

#[test]
fn a_ban_ends_by_itself_and_a_new_one_replaces_it() {
    let mut world = open();
    ban(&mut world, id(1), Some(MINUTE));
    ban(&mut world, target("8.8.8.8"), Some(3 * MINUTE));
    ban(&mut world, id(1), Some(2 * MINUTE));
    let told = |world: &World| world.core.bans(world.now);
    let of_id = Ban::new(id(1).into(), UNIX, Some(2 * MINUTE));
    let of_address = Ban::new(target("8.8.8.8"), UNIX, Some(3 * MINUTE));
    assert_eq!(told(&world), [of_id, of_address]);
    world.wait(2 * MINUTE - Duration::from_millis(1));
    assert_eq!(told(&world).len(), 2);
    world.wait(Duration::from_millis(1));
    assert_eq!(told(&world), [of_address]);
    world.admit(1, Direction::Inbound);
    world.wait(MINUTE);
    assert_eq!(told(&world), []);
    assert!(world.accept("8.8.8.8".parse::<IpAddr>().unwrap()).is_ok());
}

#[test]
fn the_bans_of_an_earlier_run_last_no_longer_than_they_were_made_for() {
    let bans = [
        Ban::new(id(1).into(), UNIX - 30, Some(MINUTE)),
        Ban::new(id(2).into(), UNIX - 90, Some(MINUTE)),
        Ban::new(id(3).into(), UNIX + 1_000_000, Some(MINUTE)),
        Ban::new(id(4).into(), UNIX, None),
    ];
    let mut world = open();
    world.core.restore_bans(world.now, UNIX, bans.to_vec());
    let told = |world: &World| -> Vec<BanTarget> {
        let targets = world.core.bans(world.now).into_iter().map(|ban| ban.target);
        targets.collect()
    };
    let sorted = |of: &[u8]| {
        let mut targets: Vec<BanTarget> = of.iter().map(|&n| id(n).into()).collect();
        targets.sort();
        targets
    };
    assert_eq!(told(&world), sorted(&[1, 3, 4]));
    world.wait(MINUTE / 2);
    assert_eq!(told(&world), sorted(&[3, 4]), "half of it was over");
    world.wait(MINUTE / 2);
    assert_eq!(told(&world), sorted(&[4]), "the clock was wrong when it was made, or is now");
}

#[test]
fn bans_are_bounded_and_none_is_of_ourselves() {
    let mut world = open();
    let own = world.core.ban(world.now, UNIX, id(OWN).into(), None);
    assert_eq!(own, Err(BanError::OwnId));
    let address = |n: usize| -> BanTarget {
        let [.., a, b] = n.to_be_bytes();
        IpAddr::from([8, 8, a, b]).into()
    };
    ban(&mut world, address(0), Some(MINUTE));
    for n in 1..MAX_BANS {
        ban(&mut world, address(n), None);
    }
    let one_more = |world: &mut World| world.core.ban(world.now, UNIX, address(MAX_BANS), None);
    assert_eq!(one_more(&mut world), Err(BanError::TooMany));
    ban(&mut world, address(0), Some(MINUTE));
    world.wait(MINUTE);
    assert_eq!(one_more(&mut world), Ok(()), "one is over");
}
