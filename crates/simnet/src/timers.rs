#![expect(clippy::indexing_slicing, reason = "places are those that the heap itself noted")]

/// The one timer of each host, found first by time. Hosts are numbered from 0.
///
/// A binary heap that knows where each host is in it. Hosts put their timers off with nearly every
/// message, so that is only noted: a host whose time in the heap has come, but not its timer, is
/// moved then. So there is one entry for each host, never an outdated one.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// A time that is not after the timer, and the host. None is after the two at twice its place
    /// and one and two more.
    heap: Vec<(u64, u32)>,
    hosts: Vec<Option<Timer>>,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    at: u64,
    /// Where in the heap the host is.
    place: u32,
}

impl Timers {
    /// Sets the time of a host in place of an earlier one, or removes it.
    pub(crate) fn set(&mut self, host: u32, at: Option<u64>) {
        if self.hosts.len() <= host as usize {
            self.hosts.resize(host as usize + 1, None);
        }
        match (&mut self.hosts[host as usize], at) {
            (None, None) => {}
            (timer @ None, Some(at)) => {
                *timer = Some(Timer { at, place: 0 });
                self.heap.push((at, host));
                self.rise(self.heap.len() - 1);
            }
            (Some(timer), None) => {
                let place = timer.place as usize;
                self.take(place);
            }
            (Some(timer), Some(at)) => {
                timer.at = at;
                let place = timer.place as usize;
                if at < self.heap[place].0 {
                    self.heap[place].0 = at;
                    self.rise(place);
                }
            }
        }
    }

    /// The time of the first host.
    pub(crate) fn first(&mut self) -> Option<u64> {
        loop {
            let &(noted, host) = self.heap.first()?;
            let at = self.hosts[host as usize].map_or(noted, |timer| timer.at);
            if at == noted {
                return Some(at);
            }
            self.heap[0].0 = at;
            self.sink(0);
        }
    }

    /// Takes out the first host: of those with one time the one with the smallest number.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        self.first()?;
        let &(_, host) = self.heap.first()?;
        self.take(0);
        Some(host)
    }

    fn take(&mut self, place: usize) {
        let (_, host) = self.heap.swap_remove(place);
        self.hosts[host as usize] = None;
        if place < self.heap.len() {
            self.rise(place);
            self.sink(place);
        }
    }

    /// Moves what is at this place up to where it belongs.
    fn rise(&mut self, mut place: usize) {
        let timer = self.heap[place];
        while place > 0 && timer < self.heap[(place - 1) / 2] {
            self.put(place, self.heap[(place - 1) / 2]);
            place = (place - 1) / 2;
        }
        self.put(place, timer);
    }

    /// Moves what is at this place down to where it belongs.
    fn sink(&mut self, mut place: usize) {
        let timer = self.heap[place];
        loop {
            let mut child = 2 * place + 1;
            if child + 1 < self.heap.len() && self.heap[child + 1] < self.heap[child] {
                child += 1;
            }
            if child >= self.heap.len() || timer < self.heap[child] {
                return self.put(place, timer);
            }
            self.put(place, self.heap[child]);
            place = child;
        }
    }

    fn put(&mut self, place: usize, timer: (u64, u32)) {
        self.heap[place] = timer;
        if let Some(timer) = &mut self.hosts[timer.1 as usize] {
            timer.place = place as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Against a sorted set, with every mix of setting, removing and popping.
    #[test]
    fn the_heap_pops_in_order() {
        let (mut timers, mut set) = (Timers::default(), BTreeSet::new());
        let mut random = 1_u64;
        for _ in 0..100_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (host, at) = ((random >> 33) as u32 % 50, (random >> 40) % 1_000);
            if random >> 62 == 0 {
                let first = set.pop_first().map(|(_, host)| host);
                assert_eq!(timers.pop(), first);
            } else {
                let at = (random >> 62 > 1).then_some(at);
                timers.set(host, at);
                set.retain(|&(_, other)| other != host);
                set.extend(at.map(|at| (at, host)));
            }
            assert_eq!(timers.first(), set.first().map(|&(at, _)| at));
        }
        assert!(!set.is_empty());
    }
}
