//! What a scheduler tells of itself.

use std::collections::BTreeSet;

use devp2p_dial::{DialKind, Input, Outcome, Refusal, RefusalCause};

use super::world::{World, id, node, node_without_address, secs};

#[test]
fn what_is_under_way_is_told() {
    let mut world = World::new(|config| {
        config.max_dialed = 5;
        config.static_nodes = vec![node_without_address(3)];
    });
    world.offer([1, 2]);
    world.connect(1);
    world.wait(secs(4));
    let status = world.scheduler.status(world.now);
    assert_eq!((status.max_dialed, status.dialed, status.wanted), (5, 1, 2));
    let mut dialing: Vec<_> =
        status.dialing.iter().map(|it| (it.node.id(), it.kind, it.since)).collect();
    dialing.sort_by_key(|&(_, kind, _)| kind);
    let search = (id(3), DialKind::Static, secs(4));
    assert_eq!(dialing, [search, (id(2), DialKind::Dynamic, secs(4))]);
}

#[test]
fn what_the_past_means_for_the_next_dial_is_told() {
    let mut world = World::with_slots(5);
    let outlook = |world: &World, number| {
        let outlook = world.scheduler.outlook(world.now, id(number));
        (outlook.failures, outlook.retry_in)
    };
    assert_eq!(outlook(&world, 1), (0, None));
    world.offer([1, 2, 3]);
    assert_eq!(outlook(&world, 1), (0, None), "it is dialed now");
    world.connect(2);
    world.fail(1);
    let (failures, retry_in) = outlook(&world, 1);
    assert_eq!(failures, 1);
    assert!((secs(35)..=secs(60)).contains(&retry_in.unwrap()), "{retry_in:?}");
    world.end(3, Outcome::Useless);
    assert_eq!(outlook(&world, 3), (1, Some(secs(600))));
    assert_eq!(outlook(&world, 2), (0, None), "it is a peer");
    world.wait(secs(600));
    assert_eq!(outlook(&world, 3), (1, None));
    world.offer([3]);
    world.end(3, Outcome::Useless);
    assert_eq!(outlook(&world, 3), (2, Some(secs(1200))));
    world.input(Input::Stop);
    assert_eq!(outlook(&world, 3), (2, None), "nothing is dialed after the stop");
}

#[test]
fn a_static_node_s_wait_is_its_own() {
    let mut world = World::with_statics([1]);
    world.fail(1);
    world.wait(secs(35));
    world.fail(1);
    let outlook = world.scheduler.outlook(world.now, id(1));
    assert_eq!((outlook.failures, outlook.retry_in), (2, Some(secs(70))));
}

#[test]
fn every_cause_has_a_text_of_its_own() {
    let texts: BTreeSet<_> = RefusalCause::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), RefusalCause::ALL.len());
    let world = World::with_slots(1);
    let refusal = Refusal::Useless { until: world.now };
    assert_eq!(
        (refusal.cause(), refusal.to_string()),
        (RefusalCause::Useless, "was of no use".into())
    );
    assert_eq!(world.why_not(0).unwrap().cause(), RefusalCause::SelfDial);
    assert_eq!(world.scheduler.why_not(world.now, &node(1)), None);
}
