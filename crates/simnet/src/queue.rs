use std::{cmp::Reverse, collections::BinaryHeap};

/// What is to happen, in the order of time, and of insertion where times are equal.
///
/// The heap has only what it compares, so that it moves little; the events lie still beside it.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    events: Vec<Option<T>>,
    free: Vec<u32>,
    inserted: u64,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), inserted: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(crate) fn push(&mut self, at: u64, event: T) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            (self.events.len() - 1) as u32
        });
        if let Some(empty) = self.events.get_mut(place as usize) {
            *empty = Some(event);
        }
        self.heap.push(Reverse((at, self.inserted, place)));
        self.inserted += 1;
    }

    /// The time of the first event.
    pub(crate) fn first(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let Reverse((.., place)) = self.heap.pop()?;
        self.free.push(place);
        self.events.get_mut(place as usize)?.take()
    }
}
