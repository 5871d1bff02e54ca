//! Packets on their way out.

use std::net::SocketAddr;

use bytes::Bytes;
use devp2p_core::Transmit;

use super::Discv5;
use crate::{Event, crypto::Identity, statistics::count_one, wire::PacketKind};

/// The datagrams that wait to be polled; the oldest are lost beyond it. More than one call makes.
const MAX_TRANSMITS: usize = 4_096;

impl<I: Identity> Discv5<I> {
    pub(super) fn transmit(&mut self, to: SocketAddr, kind: PacketKind, bytes: Bytes) {
        self.statistics.count_sent(kind, bytes.len());
        if self.transmits.len() >= MAX_TRANSMITS {
            self.transmits.pop_front();
            count_one(&mut self.statistics.transmits_lost);
        }
        self.transmits.push_back(Transmit { to, bytes });
    }

    /// Tells an event. Where too many wait, the oldest is lost of those that end no command; the
    /// others are no more than there are open commands.
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
        if self.events.len() > self.config.max_events
            && let Some(oldest) = self.events.iter().position(|event| !event.ends_command())
        {
            self.events.remove(oldest);
            count_one(&mut self.statistics.events_lost);
        }
    }
}
