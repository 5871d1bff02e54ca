use devp2p_simnet::{HostId, Link, World};

use crate::support::{Probe, address, assert_balanced, ms, numbers, secs, send, world};

/// From each to each, itself included.
fn all_send(world: &mut World<Probe>, ids: &[HostId]) {
    for (from, &id) in ids.iter().enumerate() {
        for to in 0..4 {
            send(world, id, address(to), from as u32);
        }
    }
}

#[test]
fn parts_do_not_reach_one_another() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 4);
    world.partition(&[&[ids[0], ids[1]]]);
    all_send(&mut world, &ids);
    world.run_for(secs(1));
    assert_eq!(
        ids.iter().map(|&id| numbers(&world, id)).collect::<Vec<_>>(),
        [[0, 1], [0, 1], [2, 3], [2, 3]]
    );
    assert_eq!(world.statistics().lost.partition, 8);
    assert_balanced(&world);
}

#[test]
fn healed_it_is_whole_again() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 4);
    world.partition(&[&[ids[0]], &[ids[1]], &[ids[2]]]);
    world.heal();
    all_send(&mut world, &ids);
    world.run_for(secs(1));
    assert!(ids.iter().all(|&id| numbers(&world, id) == [0, 1, 2, 3]));
}

#[test]
fn a_new_partition_replaces_the_old() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
    world.partition(&[&[ids[0]], &[ids[1]]]);
    world.partition(&[&[ids[0], ids[1]]]);
    send(&mut world, ids[0], address(1), 1);
    world.run_for(secs(1));
    assert_eq!(numbers(&world, ids[1]), [1]);
}

#[test]
fn what_is_in_flight_is_cut_too() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
    send(&mut world, ids[0], address(1), 1);
    world.run_for(ms(20));
    world.partition(&[&[ids[0]]]);
    world.run_for(ms(30));
    world.heal();
    world.run_for(secs(1));
    assert_eq!(numbers(&world, ids[1]), []);
    assert_eq!(world.statistics().lost.partition, 1);
}
