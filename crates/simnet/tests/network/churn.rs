use devp2p_simnet::{Churn, Link};

use crate::support::{Probe, secs, world};

#[test]
fn hosts_are_up_for_their_share_of_the_time() {
    let (mut world, ids) = world(Link::default(), 200);
    let (stable, rest) = ids.split_at(50);
    let mut churn = Churn::new(&mut world, rest.iter().copied(), secs(30), secs(10));
    let (mut up, mut starts) = (0, 0);
    churn.run_for(&mut world, secs(300), |_, _, _| Probe::default());
    for _ in 0..100 {
        churn.run_for(&mut world, secs(10), |world, id, now| {
            assert!(world.get(id).is_none() && world.now() == now);
            starts += 1;
            Probe::default()
        });
        up += rest.iter().filter(|&&id| world.get(id).is_some()).count();
        assert!(stable.iter().all(|&id| world.get(id).is_some()));
    }
    assert_eq!(world.elapsed(), secs(1_300));
    // 30 of each 40 s, and one start in each.
    assert!((10_900..11_600).contains(&up), "{up} of 15,000 looks");
    assert!((3_550..3_950).contains(&starts), "{starts} starts");
}

#[test]
fn churn_is_the_same_for_the_same_seed() {
    let run = || {
        let (mut world, ids) = world(Link::default(), 20);
        let mut churn = Churn::new(&mut world, ids, secs(30), secs(10));
        let mut starts = Vec::new();
        churn.run_for(&mut world, secs(600), |world, id, _| {
            starts.push((world.elapsed(), id));
            Probe::default()
        });
        starts
    };
    assert!(run().len() > 100);
    assert_eq!(run(), run());
}
