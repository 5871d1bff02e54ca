use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

/// The last of what happened, told to any number of readers. A reader that is slow loses the
/// oldest, and holds up nobody.
pub struct Ring<T>(Arc<Mutex<State<T>>>);

/// Reads a [`Ring`] from the moment on when it was made: a stream of the items, or of how many were
/// lost, that ends when the ring is closed.
///
/// # Cancel safety
/// Whatever waits for the next item may be dropped: none is lost.
pub struct Reader<T> {
    ring: Ring<T>,
    number: u64,
    /// How many items were told before the one that comes next.
    position: u64,
}

struct State<T> {
    capacity: usize,
    /// The last items, at most `capacity`. None while nobody reads.
    items: VecDeque<T>,
    /// How many were told before the first of `items`.
    first: u64,
    /// Who reads, and how to wake those that wait.
    readers: BTreeMap<u64, Option<Waker>>,
    next_reader: u64,
    closed: bool,
}

impl<T> Ring<T> {
    /// A ring whose readers may lag behind by `capacity` items.
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            capacity,
            items: VecDeque::new(),
            first: 0,
            readers: BTreeMap::new(),
            next_reader: 0,
            closed: false,
        })))
    }

    /// Tells every reader.
    pub fn push(&self, item: T) {
        let mut state = self.lock();
        if state.readers.is_empty() || state.closed {
            return;
        }
        if state.items.len() >= state.capacity {
            state.items.pop_front();
            state.first = state.first.saturating_add(1);
        }
        state.items.push_back(item);
        wake_all(state);
    }

    /// Readers end, once they have read what is there.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        wake_all(state);
    }

    /// A reader of what happens from now on.
    pub fn reader(&self) -> Reader<T> {
        let mut state = self.lock();
        let number = state.next_reader;
        state.next_reader = number.wrapping_add(1);
        state.readers.insert(number, None);
        let position = state.end();
        drop(state);
        Reader { ring: self.clone(), number, position }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing in here leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    /// How many items were told.
    fn end(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.items.len()).unwrap_or(u64::MAX))
    }
}

/// Wakes without the lock, as a waker may do anything.
fn wake_all<T>(mut state: MutexGuard<'_, State<T>>) {
    let waiting: Vec<_> = state.readers.values_mut().filter_map(Option::take).collect();
    drop(state);
    waiting.into_iter().for_each(Waker::wake);
}

/// So many items were lost: who reads them was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed(pub u64);

impl<T: Clone> Reader<T> {
    /// The next item, or how many were lost; `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<T, Missed>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<T: Clone> Stream for Reader<T> {
    type Item = Result<T, Missed>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let mut state = this.ring.lock();
        let lost = state.first.saturating_sub(this.position);
        if lost > 0 {
            this.position = state.first;
            return Poll::Ready(Some(Err(Missed(lost))));
        }
        let index = usize::try_from(this.position.saturating_sub(state.first)).ok();
        if let Some(item) = index.and_then(|index| state.items.get(index)).cloned() {
            this.position = this.position.saturating_add(1);
            return Poll::Ready(Some(Ok(item)));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.readers.insert(this.number, Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let mut state = self.ring.lock();
        state.readers.remove(&self.number);
        if state.readers.is_empty() {
            state.first = state.end();
            state.items = VecDeque::new();
        }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missed {}", self.0)
    }
}

impl std::error::Error for Missed {}

impl<T> Clone for Ring<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Ring").field("told", &state.end()).field("closed", &state.closed).finish()
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("position", &self.position).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(reader: &mut Reader<u32>) -> Poll<Option<Result<u32, Missed>>> {
        Pin::new(reader).poll_next(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn every_reader_is_told_everything_from_its_start() {
        let ring = Ring::new(4);
        ring.push(1);
        let mut early = ring.reader();
        ring.push(2);
        let mut late = ring.reader();
        ring.push(3);
        assert_eq!(read(&mut early), Poll::Ready(Some(Ok(2))));
        assert_eq!(read(&mut early), Poll::Ready(Some(Ok(3))));
        assert_eq!(read(&mut early), Poll::Pending);
        assert_eq!(read(&mut late), Poll::Ready(Some(Ok(3))));
        ring.push(4);
        ring.close();
        ring.push(5);
        assert_eq!(read(&mut late), Poll::Ready(Some(Ok(4))), "what was told before the end");
        assert_eq!(read(&mut late), Poll::Ready(None));
        assert_eq!(read(&mut ring.reader()), Poll::Ready(None));
    }

    #[test]
    fn who_lags_behind_loses_the_oldest_and_is_told_how_many() {
        let ring = Ring::new(4);
        let (mut slow, mut fast) = (ring.reader(), ring.reader());
        for item in 0..10 {
            ring.push(item);
            assert_eq!(read(&mut fast), Poll::Ready(Some(Ok(item))));
        }
        assert_eq!(read(&mut slow), Poll::Ready(Some(Err(Missed(6)))));
        for item in 6..10 {
            assert_eq!(read(&mut slow), Poll::Ready(Some(Ok(item))));
        }
        assert_eq!(read(&mut slow), Poll::Pending);
    }

    #[test]
    fn nothing_is_kept_where_nobody_reads() {
        let ring = Ring::new(4);
        ring.push(1);
        assert!(ring.lock().items.is_empty());
        let reader = ring.reader();
        ring.push(2);
        assert_eq!(ring.lock().items.len(), 1);
        drop(reader);
        assert!(ring.lock().items.is_empty());
        assert_eq!(read(&mut ring.reader()), Poll::Pending);
    }

    #[test]
    fn who_waits_is_woken_once() {
        let ring = Ring::new(4);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let (mut one, mut other) = (ring.reader(), ring.reader());
        for _ in 0..3 {
            assert!(Pin::new(&mut one).poll_next(&mut Context::from_waker(&waker)).is_pending());
            assert!(Pin::new(&mut other).poll_next(&mut Context::from_waker(&waker)).is_pending());
        }
        ring.push(1);
        ring.push(2);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        drop((one, other));
        ring.close();
        assert_eq!(count.0.load(Ordering::Relaxed), 2, "nobody waits");
    }
}
