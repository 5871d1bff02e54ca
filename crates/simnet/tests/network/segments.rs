use devp2p_simnet::{Link, Transmit};

use crate::support::{Probe, address, assert_balanced, ms, numbers, secs, send_segment, world};

/// Everything that a link can do to datagrams.
fn rough() -> Link {
    Link { jitter: ms(200), loss: 0.3, reorder: 0.3, duplicate: 0.3, mtu: 1, latency: ms(40) }
}

#[test]
fn segments_come_once_and_in_order_whatever_the_link() {
    let (mut world, ids) = world(rough(), 2);
    for number in 0..1_000 {
        send_segment(&mut world, ids[0], address(1), number);
        world.run_for(ms(1));
    }
    world.run_for(secs(1));
    assert!(numbers(&world, ids[1]).into_iter().eq(0..1_000));
    assert_balanced(&world);
}

#[test]
fn a_sender_learns_after_a_while_that_nobody_is_there() {
    let (mut world, ids) = world(rough(), 3);
    world.crash(ids[1]);
    world.partition(&[&[ids[2]]]);
    world.set_unreachable_after(secs(15));
    let start = world.now();
    for to in [1, 2, 3] {
        // Of a broken stream it is told once.
        send_segment(&mut world, ids[0], address(to), 1);
        send_segment(&mut world, ids[0], address(to), 2);
    }
    world.run_for(ms(14_999));
    assert_eq!(world.host(ids[0]).unreachable, []);
    assert_eq!(world.in_flight(), 0);
    world.run_for(ms(1));
    let told = [1, 2, 3].map(|to| (start + secs(15), address(to)));
    assert_eq!(world.host(ids[0]).unreachable, told);
    let lost = world.statistics().lost;
    assert_eq!((lost.down, lost.partition, lost.nobody, lost.broken), (1, 1, 1, 3));
}

#[test]
fn a_broken_stream_has_no_gaps() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 2);
    send_segment(&mut world, ids[0], address(1), 0);
    world.run_for(ms(30));
    send_segment(&mut world, ids[0], address(1), 1);
    world.run_for(ms(20));
    // 0 came, 1 is under way and does not; 2 would, and must not.
    send_segment(&mut world, ids[0], address(1), 2);
    world.partition(&[&[ids[0]]]);
    world.run_for(ms(30));
    world.heal();
    send_segment(&mut world, ids[0], address(1), 3);
    world.run_for(secs(6));
    assert_eq!(numbers(&world, ids[1]), [0]);
    assert_eq!(world.host(ids[0]).unreachable.len(), 1, "told once");
    assert_eq!((world.statistics().lost.partition, world.statistics().lost.broken), (1, 2));
    // Then it may begin anew.
    send_segment(&mut world, ids[0], address(1), 4);
    world.run_for(secs(1));
    assert_eq!(numbers(&world, ids[1]), [0, 4]);
    assert_balanced(&world);
}

#[test]
fn a_crash_breaks_the_streams_of_both_sides() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 3);
    send_segment(&mut world, ids[0], address(1), 1);
    send_segment(&mut world, ids[1], address(2), 2);
    world.restart(ids[1], Probe::default());
    send_segment(&mut world, ids[1], address(2), 3);
    world.run_for(secs(6));
    assert_eq!(world.host(ids[0]).unreachable.len(), 1);
    assert_eq!((numbers(&world, ids[1]), numbers(&world, ids[2])), (vec![], vec![3]));
    assert_balanced(&world);
}

#[test]
fn a_restarted_sender_is_not_told_of_what_it_did_not_send() {
    let (mut world, ids) = world(Link::with_latency(ms(40)), 1);
    send_segment(&mut world, ids[0], address(1), 1);
    world.restart(ids[0], Probe::default());
    world.run_for(secs(10));
    assert_eq!(world.host(ids[0]).unreachable, []);
}

#[test]
fn segments_cannot_be_spoofed() {
    let (mut world, ids) = world(Link::default(), 3);
    world.with(ids[0], |host, _| {
        let segment = Transmit::segment(address(1), vec![0; 4].into());
        host.out.push_back(segment.with_source(address(2)));
    });
    world.run_for(secs(10));
    assert_eq!((world.statistics().delivered, world.statistics().lost.spoofed), (0, 1));
}
