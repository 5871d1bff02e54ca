use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{Host, HostId, World, rng::nanos};

/// Hosts that come and go: each is up for a while, crashes, is down for a while, and is started
/// again, without end. How long is exponentially distributed.
#[derive(Clone, Debug)]
pub struct Churn {
    up: Duration,
    down: Duration,
    /// When each host crashes or is started, in nanoseconds of the world's time.
    due: BTreeSet<(u64, HostId)>,
}

impl Churn {
    /// Churn of these hosts from now on. `up` and `down` are the means.
    pub fn new<H: Host>(
        world: &mut World<H>,
        hosts: impl IntoIterator<Item = HostId>,
        up: Duration,
        down: Duration,
    ) -> Self {
        let now = nanos(world.elapsed());
        let mut life = |id| {
            let mean = if world.get(id).is_some() { up } else { down };
            (now.saturating_add(nanos(world.rng().exponential(mean))), id)
        };
        let due = hosts.into_iter().map(&mut life).collect();
        Self { up, down, due }
    }

    /// [`World::run_for`] with churn. `start` makes the host that is started again.
    ///
    /// # Panics
    /// When one of the hosts was [removed](World::remove).
    pub fn run_for<H: Host>(
        &mut self,
        world: &mut World<H>,
        duration: Duration,
        mut start: impl FnMut(&mut World<H>, HostId, Instant) -> H,
    ) {
        let end = nanos(world.elapsed()).saturating_add(nanos(duration));
        while let Some(&(at, id)) = self.due.first().filter(|(at, _)| *at <= end) {
            self.due.pop_first();
            run_to(world, at);
            let mean = if world.crash(id).is_some() {
                self.down
            } else {
                let now = world.now();
                let host = start(world, id, now);
                world.restart(id, host);
                self.up
            };
            let life = nanos(world.rng().exponential(mean)).max(1);
            self.due.insert((at.saturating_add(life), id));
        }
        run_to(world, end);
    }
}

fn run_to<H: Host>(world: &mut World<H>, at: u64) {
    world.run_for(Duration::from_nanos(at).saturating_sub(world.elapsed()));
}
