//! A host that speaks discovery v5 by hand: with valid sessions, and without manners.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use devp2p_core::{PublicKey, Rng};
use devp2p_discv5::{
    Discv5,
    handshake::Initiator,
    message::{Body, Message, Ping, RequestId},
    session::Session,
    wire::{Masking, Packet, ProtocolId, WhoAreYou},
};
use devp2p_simnet::{HostId, Transmit};

use super::{
    keys::{StandIn, publish},
    network::Network,
    node::Identity,
};

/// The way there and back, at least.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(400);
const PORT: u16 = 30_303;

pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) host: HostId,
    rng: Rng,
}

/// The masking of packets to a node.
pub(crate) fn masking(to: PublicKey) -> Masking {
    Masking::new(to.into(), ProtocolId::default())
}

impl Caller {
    pub(crate) fn new(network: &mut Network<Discv5<StandIn>>, ip: Ipv4Addr) -> Self {
        let host = network.add_probe(ip);
        let identity = Identity::new(&mut network.rng, (ip, PORT).into());
        publish(&identity.record(1));
        Self { identity, host, rng: Rng::from_seed(network.rng.seed()) }
    }

    /// Sends a datagram from its own address.
    pub(crate) fn send(
        &self,
        network: &mut Network<Discv5<StandIn>>,
        to: SocketAddr,
        bytes: impl Into<Bytes>,
    ) {
        let packet = Transmit::datagram(to, bytes.into()).with_source(self.identity.address);
        network.with_probe(self.host, |probe, _| probe.out.push_back(packet));
    }

    /// Has a node ask who it is, and gives what the node sent.
    pub(crate) fn knock(
        &mut self,
        network: &mut Network<Discv5<StandIn>>,
        to: &Identity,
    ) -> Option<WhoAreYou> {
        let knock = masking(to.public_key()).random_packet(self.identity.id, &mut self.rng);
        network.with_probe(self.host, |probe, _| probe.received.clear());
        self.send(network, to.address, knock);
        network.world.run_for(ROUND_TRIP);
        let mut whoareyou = None;
        for bytes in self.received(network, to.address) {
            if let Ok(Packet::WhoAreYou(it)) = masking(self.identity.public_key()).decode(&bytes) {
                whoareyou = Some(it);
            }
        }
        whoareyou
    }

    /// Makes a session with a node, if nothing is lost.
    pub(crate) fn connect(
        &mut self,
        network: &mut Network<Discv5<StandIn>>,
        to: &Identity,
    ) -> Option<Session> {
        let whoareyou = self.knock(network, to)?;
        let (stand_in, record) = (StandIn(self.identity.public_key()), self.identity.record(1));
        let rng = &mut self.rng;
        let initiator = Initiator::new(&stand_in, &record, to.public_key(), &whoareyou, rng);
        let ping = Body::Ping(Ping { enr_seq: 1 });
        let ping = Message { request_id: RequestId::from(1), body: ping }.to_bytes().unwrap();
        let (packet, mut unconfirmed) =
            initiator.seal(&masking(to.public_key()), &ping, &mut self.rng).unwrap();
        network.with_probe(self.host, |probe, _| probe.received.clear());
        self.send(network, to.address, packet);
        network.world.run_for(ROUND_TRIP);
        for bytes in self.received(network, to.address) {
            if let Ok(Packet::Ordinary(packet)) = masking(self.identity.public_key()).decode(&bytes)
            {
                match unconfirmed.confirm(&packet) {
                    Ok((session, _)) => return Some(session),
                    Err(still) => unconfirmed = still,
                }
            }
        }
        None
    }

    /// Sends a message within a session.
    pub(crate) fn say(
        &mut self,
        network: &mut Network<Discv5<StandIn>>,
        to: &Identity,
        session: &mut Session,
        message: &Message,
    ) {
        let (masking, message) = (masking(to.public_key()), message.to_bytes().unwrap());
        let packet = session.seal(&masking, self.identity.id, &message, &mut self.rng).unwrap();
        self.send(network, to.address, packet);
    }

    /// What came from there.
    fn received(&self, network: &mut Network<Discv5<StandIn>>, from: SocketAddr) -> Vec<Bytes> {
        network.with_probe(self.host, |probe, _| {
            let received = probe.received.iter().filter(|(_, delivery)| delivery.from == from);
            received.map(|(_, delivery)| delivery.bytes.clone()).collect()
        })
    }
}
