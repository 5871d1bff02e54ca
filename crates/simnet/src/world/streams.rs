use std::{collections::BTreeMap, net::SocketAddr};

use super::HostId;

/// The streams that have segments in flight or are broken: each from a host to an address.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: BTreeMap<(HostId, SocketAddr), Stream>,
    opened: u64,
    in_flight: usize,
    notices: usize,
}

#[derive(Debug)]
struct Stream {
    /// Tells it from an earlier one of the same host to the same address.
    number: u64,
    /// When its last segment arrives.
    last: u64,
    in_flight: usize,
    broken: bool,
}

impl Streams {
    /// The segments that are in flight.
    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The senders that are yet to be told that their stream is broken.
    pub(super) const fn notices(&self) -> usize {
        self.notices
    }

    /// Whether the stream is broken, and its sender not told yet.
    pub(super) fn is_broken(&self, from: HostId, to: SocketAddr) -> bool {
        self.streams.get(&(from, to)).is_some_and(|stream| stream.broken)
    }

    /// A segment is sent that would take until `at`. The number of its stream, and when it arrives:
    /// not before the one before it.
    pub(super) fn send(&mut self, from: HostId, to: SocketAddr, at: u64) -> (u64, u64) {
        let stream = self.entry(from, to);
        stream.last = stream.last.max(at);
        stream.in_flight += 1;
        let sent = (stream.number, stream.last);
        self.in_flight += 1;
        sent
    }

    /// A segment arrives. Whether its stream is still whole.
    pub(super) fn arrive(&mut self, from: HostId, to: SocketAddr, number: u64) -> bool {
        self.in_flight -= 1;
        let Some(stream) = self.streams.get_mut(&(from, to)) else { return false };
        if stream.number != number {
            return false;
        }
        stream.in_flight -= 1;
        let whole = !stream.broken;
        if whole && stream.in_flight == 0 {
            self.streams.remove(&(from, to));
        }
        whole
    }

    /// Breaks a stream that is whole. Its number, for the notice.
    pub(super) fn cut(&mut self, from: HostId, to: SocketAddr) -> u64 {
        let stream = self.entry(from, to);
        stream.broken = true;
        let number = stream.number;
        self.notices += 1;
        number
    }

    /// The notice is due. Whether the sender is still the one whose stream broke.
    pub(super) fn notify(&mut self, from: HostId, to: SocketAddr, number: u64) -> bool {
        self.notices -= 1;
        let is_this = self.streams.get(&(from, to)).is_some_and(|stream| stream.number == number);
        if is_this {
            self.streams.remove(&(from, to));
        }
        is_this
    }

    /// The host crashed: its streams are gone with it.
    pub(super) fn sender_gone(&mut self, from: HostId) {
        self.streams.retain(|(sender, _), _| *sender != from);
    }

    fn entry(&mut self, from: HostId, to: SocketAddr) -> &mut Stream {
        let opened = &mut self.opened;
        self.streams.entry((from, to)).or_insert_with(|| {
            *opened += 1;
            Stream { number: *opened, last: 0, in_flight: 0, broken: false }
        })
    }
}
