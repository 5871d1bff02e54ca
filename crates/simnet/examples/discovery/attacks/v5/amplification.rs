//! What comes back to an endpoint that has proved nothing, for each byte that was sent in its name.

use std::{net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use devp2p_core::{NodeId, Rng};
use devp2p_discv5::{
    Discv5,
    crypto::SessionKey,
    wire::{Envelope, MAX_PACKET_SIZE, MIN_PACKET_SIZE, Nonce, Proof, WhoAreYou},
};

use crate::discovery::{
    attacks::{Attack, Bar, Measure},
    caller::{Caller, masking},
    keys::StandIn,
    network::{Network, Plan},
    node::Identity,
};

pub(crate) const ATTACK: Attack = Attack {
    name: "amplification, for each unproven endpoint",
    measures: &[
        Measure { what: "bytes back for each of random packets as small as can be", bar: ONE },
        Measure { what: "bytes back for each of random packets as nodes send them", bar: ONE },
        Measure { what: "bytes back for each of the same one, sent again", bar: ONE },
        Measure { what: "bytes back for each of random packets of 1,280", bar: ONE },
        Measure { what: "bytes back for WHOAREYOU", bar: NOTHING },
        Measure { what: "bytes back for handshakes", bar: NOTHING },
        Measure { what: "bytes back for handshakes after a random packet", bar: ONE },
        Measure { what: "bytes back for runts, oversize and garbage", bar: NOTHING },
    ],
    run,
    nodes: 5,
};

const ONE: Bar = Bar::AtMost(1.0);
const NOTHING: Bar = Bar::AtMost(0.0);
/// The meter is at one node, who needs some to name.
const ENOUGH: usize = 30;
const PACKETS: usize = 50;

struct Meter {
    network: Network<Discv5<StandIn>>,
    to: Identity,
    /// Each source is in a prefix of its own.
    sources: u8,
    rng: Rng,
}

fn run(seed: u64, nodes: usize) -> Vec<f64> {
    let mut plan = Plan::small(nodes.min(ENOUGH));
    // What is lost would make it look better.
    plan.links.loss = 0.0;
    let mut network = Network::<Discv5<StandIn>>::new(seed, plan);
    network.run_for(30);
    let to = network.nodes[seed as usize % network.nodes.len()].0.clone();
    let rng = Rng::from_seed(network.rng.seed());
    let mut meter = Meter { network, to, sources: 0, rng };

    let victim = masking(meter.to.public_key());
    let (smallest, largest) = (0, MAX_PACKET_SIZE);
    let knocks = |id, size, rng: &mut Rng| victim.random_packet_like(id, size, rng).1;
    let mut again = None;
    vec![
        meter.send(|id, _, rng| vec![knocks(id, smallest, rng)]),
        meter.send(|id, _, rng| vec![knocks(id, 12, rng)]),
        meter.send(|id, _, rng| vec![again.get_or_insert_with(|| knocks(id, 12, rng)).clone()]),
        meter.send(|id, _, rng| vec![knocks(id, largest, rng)]),
        meter.send(|_, _, rng| {
            let nonce = Nonce::random(rng);
            let whoareyou = WhoAreYou::random(victim.protocol(), nonce, 0, rng);
            vec![Bytes::copy_from_slice(&whoareyou.encode(&victim))]
        }),
        meter.send(|_, who, rng| vec![handshake(&victim, who, rng)]),
        meter.send(|id, who, rng| {
            let knock = knocks(id, 12, rng);
            vec![knock, handshake(&victim, who, rng), handshake(&victim, who, rng)]
        }),
        meter.send(|id, _, rng| {
            let knock = knocks(id, 12, rng);
            let (runt, mut garbage) = (knock.slice(..MIN_PACKET_SIZE - 1), [0; 500]);
            rng.fill(&mut garbage);
            let oversize = [&*knock, &[0; MAX_PACKET_SIZE]].concat();
            vec![runt, oversize.into(), Bytes::copy_from_slice(&garbage)]
        }),
    ]
}

/// With the right record, and all else made up.
fn handshake(victim: &devp2p_discv5::wire::Masking, who: &Identity, rng: &mut Rng) -> Bytes {
    let envelope = Envelope::random(who.id, Nonce::random(rng), rng);
    let (record, ephemeral_key) = (who.record(1), who.public_key().to_compressed());
    // To a stand-in it is the right signature, so that all the rest is looked at, too.
    let id_signature = *who.public_key().as_bytes();
    let proof = Proof { id_signature, ephemeral_key, record: Some(record.as_bytes()) };
    victim.seal_handshake(&envelope, &proof, &SessionKey::new(&[7; 16]), &[1; 20]).unwrap()
}

impl Meter {
    /// Sends packets from a new source for some seconds, five times a second, and says how many
    /// bytes come back for each.
    fn send(&mut self, mut make: impl FnMut(NodeId, &Identity, &mut Rng) -> Vec<Bytes>) -> f64 {
        let network = &mut self.network;
        let source = Caller::new(network, Ipv4Addr::new(45, 20, self.sources, 1));
        self.sources += 1;
        for _ in 0..PACKETS {
            for packet in make(source.identity.id, &source.identity, &mut self.rng) {
                source.send(network, self.to.address, packet);
            }
            network.world.run_for(Duration::from_millis(200));
        }
        network.run_for(5);
        let node = network.nodes.iter().position(|(it, _)| it.address == self.to.address).unwrap();
        let machine = &network.at(node).machine;
        assert!(!machine.has_session(source.identity.id, source.identity.address));
        let traffic = network.world.traffic(source.host);
        traffic.bytes_received as f64 / traffic.bytes_sent as f64
    }
}
