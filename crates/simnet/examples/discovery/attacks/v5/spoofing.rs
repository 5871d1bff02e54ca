//! Somebody sends packets in the name and from the address of the nodes in the tables of others.

use std::{net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use devp2p_core::Rng;
use devp2p_discv5::{
    Discv5,
    crypto::SessionKey,
    wire::{Envelope, Nonce, Proof, WhoAreYou},
};
use devp2p_simnet::Transmit;

use crate::discovery::{
    attacks::{Attack, Bar, Measure},
    caller::masking,
    keys::StandIn,
    network::{Network, Plan},
    node::Identity,
};

pub(crate) const ATTACK: Attack = Attack {
    name: "packets forged from the nodes of the table",
    measures: &[
        Measure { what: "of the sessions before, still there", bar: Bar::AtLeast(1.0) },
        Measure { what: "of the table entries before, still there", bar: Bar::AtLeast(0.99) },
        Measure { what: "of what is asked of nodes meanwhile, answered", bar: Bar::AtLeast(0.99) },
        Measure { what: "of the nearest nodes, found meanwhile", bar: Bar::AtLeast(0.95) },
        Measure { what: "new sessions for each old one, with anybody", bar: Bar::AtMost(0.25) },
    ],
    run,
    nodes: 20,
};

/// The nodes that are attacked.
const VICTIMS: usize = 10;
/// In a second each node of the table sends each kind so often, it is said; a prefix has 30 answers.
const EACH: u64 = 4;
const SECS: u64 = 10;

fn run(seed: u64, nodes: usize) -> Vec<f64> {
    let mut plan = Plan::small(nodes);
    // What is lost would look like what the forger does.
    plan.links.loss = 0.0;
    let mut network = Network::<Discv5<StandIn>>::new(seed, plan);
    network.run_for(40);
    let all = network.alive();
    let victims = network.choose(&all, VICTIMS);
    let attacker = network.add_probe(Ipv4Addr::new(45, 10, 7, 1));
    let mut rng = Rng::from_seed(network.rng.seed());
    // Who is attacked, and in whose name: those with whom there are sessions.
    let mut pairs = Vec::new();
    for &victim in &victims {
        for (id, address) in network.at(victim).table() {
            let other = network.nodes.iter().position(|(it, _)| it.id == id).unwrap();
            let has_session = network.at(victim).machine.has_session(id, address);
            pairs.push((victim, other, has_session));
        }
    }
    let with_session: Vec<_> = pairs.iter().filter(|(.., has_session)| *has_session).collect();
    assert!(with_session.len() > pairs.len() / 2, "there are few sessions");
    let made = |network: &Network<Discv5<StandIn>>| -> u64 {
        let of = |at: &usize| network.at(*at).machine.statistics().clone();
        victims.iter().map(of).map(|it| it.sessions_accepted + it.sessions_initiated).sum()
    };
    let before = made(&network);

    let (mut questions, mut found) = (Vec::new(), Vec::new());
    for second in 0..SECS {
        for _ in 0..EACH {
            for &(victim, other, _) in &pairs {
                let (to, from) = (&network.nodes[victim].0, &network.nodes[other].0);
                let (to, from) = (to.clone(), from.clone());
                let packets = forged(&from, &to, &mut rng);
                network.with_probe(attacker, |probe, _| {
                    for bytes in packets {
                        let packet = Transmit::datagram(to.address, bytes);
                        probe.out.push_back(packet.with_source(from.address));
                    }
                });
            }
            network.world.run_for(Duration::from_secs(1) / EACH as u32);
        }
        if second == SECS / 2 {
            found = network.look_around(&victims);
            // Each asks one that it knows, and is asked by it.
            for &(victim, other, _) in with_session.iter().step_by(7) {
                for (a, b) in [(*victim, *other), (*other, *victim)] {
                    let node = network.nodes[b].0.node();
                    questions.push((a, network.with(a, |it, now| it.ask(now, &node))));
                }
            }
        }
    }
    network.run_for(2);
    let answered = questions.iter().filter(|(at, query)| network.at(*at).is_answered(*query));
    let answered = answered.count() as f64 / questions.len() as f64;
    let kept = with_session.iter().filter(|(victim, other, _)| {
        let (it, _) = &network.nodes[*other];
        network.at(*victim).machine.has_session(it.id, it.address)
    });
    let listed = pairs.iter().filter(|(victim, other, _)| {
        let id = network.nodes[*other].0.id;
        network.at(*victim).table().any(|(known, _)| known == id)
    });
    vec![
        kept.count() as f64 / with_session.len() as f64,
        listed.count() as f64 / pairs.len() as f64,
        answered,
        network.sharpness(&found, &all).found,
        (made(&network) - before) as f64 / with_session.len() as f64,
    ]
}

/// One packet of each kind.
fn forged(from: &Identity, to: &Identity, rng: &mut Rng) -> [Bytes; 3] {
    let masking = masking(to.public_key());
    let nonce = Nonce::random(rng);
    let whoareyou = WhoAreYou::random(masking.protocol(), nonce, 0, rng).encode(&masking);
    let envelope = Envelope::random(from.id, Nonce::random(rng), rng);
    // The signature of another: a stand-in's own could be had by anybody.
    let (id_signature, ephemeral_key) = ([7; 64], from.public_key().to_compressed());
    let proof = Proof { id_signature, ephemeral_key, record: None };
    let key = SessionKey::new(&[7; 16]);
    [
        masking.random_packet(from.id, rng),
        masking.seal_handshake(&envelope, &proof, &key, &[1; 20]).unwrap(),
        Bytes::copy_from_slice(&whoareyou),
    ]
}
