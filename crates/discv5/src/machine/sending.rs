//! Packets on their way out.

use std::net::SocketAddr;

use bytes::Bytes;
use devp2p_core::Transmit;

use super::{Discv5, receive::Sender};
use crate::{
    Event,
    crypto::Identity,
    message::{Body, Message, MessageKind, RequestId},
    statistics::count_one,
    wire::PacketKind,
};

/// The datagrams that wait to be polled; the oldest are lost beyond it. More than one call makes.
const MAX_TRANSMITS: usize = 4_096;

impl<I: Identity> Discv5<I> {
    /// Answers a request, where it came from.
    pub(super) fn answer(&mut self, sender: Sender, request_id: RequestId, body: Body) {
        let message = Message { request_id, body };
        self.write(&message);
        self.send_written(sender, message.kind());
    }

    /// Sends the message that was written last.
    pub(super) fn send_written(&mut self, Sender { peer, keys }: Sender, kind: MessageKind) {
        // Where the session had to give way meanwhile there is nothing to answer with.
        let sealed = self.sessions.seal(&peer, keys, &self.scratch, &mut self.rng);
        if let Some(Ok((_, packet))) = sealed {
            self.send(peer.endpoint, PacketKind::Ordinary, kind, packet);
        }
    }

    /// Sends a packet with a message of this type.
    pub(super) fn send(
        &mut self,
        to: SocketAddr,
        packet_kind: PacketKind,
        kind: MessageKind,
        packet: Bytes,
    ) {
        self.statistics.count_sent_message(kind, packet.len());
        self.transmit(to, packet_kind, packet);
    }

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
