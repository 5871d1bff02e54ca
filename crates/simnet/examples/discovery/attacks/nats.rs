//! Three of ten nodes are behind a NAT, each kind in equal numbers.

use devp2p_simnet::NatKind;

use devp2p_discv4::Discv4;

use super::{Attack, Bar, Measure};
use crate::discovery::{
    keys::StandIn,
    network::{Links, Network, Plan},
};

pub(crate) const ATTACK: Attack = Attack {
    name: "30 % of the nodes behind NATs",
    measures: &[
        Measure {
            what: "of the nearest public nodes, found by those behind NATs",
            bar: Bar::AtLeast(0.95),
        },
        Measure {
            what: "of the nearest public nodes, found by public ones",
            bar: Bar::AtLeast(0.95),
        },
        Measure { what: "nodes named that have proved nothing there", bar: Bar::AtMost(0.0) },
        Measure { what: "of those behind full cones, listed in a table", bar: Bar::AtLeast(0.9) },
    ],
    run,
    nodes: 50,
};

fn run(seed: u64, nodes: usize) -> Vec<f64> {
    let mut network = Network::<Discv4<StandIn>>::empty(seed, Plan::small(nodes));
    let (mut public, mut hidden, mut cones) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..nodes {
        let kind = match n % 10 {
            3 => NatKind::FullCone,
            5 => NatKind::Restricted,
            8 => NatKind::Symmetric,
            _ => {
                public.push(network.join(network.clock));
                continue;
            }
        };
        let at = network.join_behind(kind);
        hidden.push(at);
        if kind == NatKind::FullCone {
            cones.push(at);
        }
    }
    for &at in public.iter().chain(&hidden) {
        network.with(at, |node, _| node.taps.audits = true);
    }
    network.run_for(40);

    let all = network.alive();
    let named: u64 = all.iter().map(|&at| network.at(at).taps.named).sum();
    let unproven: u64 = all.iter().map(|&at| network.at(at).taps.named_unproven).sum();
    assert!(named > 1_000, "only {named} were named");
    let listed: Vec<_> = {
        let tables = all.iter().flat_map(|&at| network.at(at).table());
        let ids: std::collections::BTreeSet<_> = tables.map(|(id, _)| id).collect();
        cones.iter().filter(|&&at| ids.contains(&network.nodes[at].0.id)).collect()
    };
    let listed = listed.len() as f64 / cones.len() as f64;

    network.set_links(Links::default());
    let from = network.choose(&hidden, 30);
    let found = network.look_around(&from);
    let by_hidden = network.sharpness_of(&found, &all, &public);
    let from = network.choose(&public, 30);
    let found = network.look_around(&from);
    let by_public = network.sharpness_of(&found, &all, &public);
    vec![by_hidden.found, by_public.found, unproven as f64, listed]
}
