//! Three of ten nodes are behind a NAT, each kind in equal numbers.

use devp2p_simnet::NatKind;

use devp2p_discv4::Discv4;
use devp2p_discv5::Discv5;

use super::{Attack, Bar, Measure};
use crate::discovery::{
    keys::StandIn,
    machine::Discovery,
    network::{Links, Network, Plan},
};

pub(crate) const V4: Attack = Attack {
    name: "30 % of the nodes behind NATs",
    measures: &[
        FOUND_BY_HIDDEN,
        FOUND_BY_PUBLIC,
        Measure { what: "nodes named that have proved nothing there", bar: Bar::AtMost(0.0) },
        Measure { what: "of those behind full cones, listed in a table", bar: Bar::AtLeast(0.9) },
    ],
    run: |seed, nodes| {
        let seen = run::<Discv4<StandIn>>(seed, nodes);
        assert!(seen.named > 1_000, "only {} were named", seen.named);
        vec![seen.by_hidden, seen.by_public, seen.named_unproven as f64, seen.cones_listed]
    },
    nodes: 50,
};

/// Nodes say in their records where they are, and those behind NATs do not know.
pub(crate) const V5: Attack = Attack {
    name: "30 % of the nodes behind NATs",
    measures: &[
        FOUND_BY_HIDDEN,
        FOUND_BY_PUBLIC,
        Measure { what: "of those behind NATs, listed in a table", bar: Bar::AtMost(0.0) },
        Measure {
            what: "public nodes that each behind a NAT has a session with, at least",
            bar: Bar::AtLeast(10.0),
        },
    ],
    run: |seed, nodes| {
        let seen = run::<Discv5<StandIn>>(seed, nodes);
        vec![seen.by_hidden, seen.by_public, seen.hidden_listed, seen.proofs as f64]
    },
    nodes: 50,
};

const FOUND_BY_HIDDEN: Measure = Measure {
    what: "of the nearest public nodes, found by those behind NATs",
    bar: Bar::AtLeast(0.95),
};
const FOUND_BY_PUBLIC: Measure =
    Measure { what: "of the nearest public nodes, found by public ones", bar: Bar::AtLeast(0.95) };

struct Seen {
    by_hidden: f64,
    by_public: f64,
    named: u64,
    named_unproven: u64,
    cones_listed: f64,
    hidden_listed: f64,
    /// The fewest public nodes that have proved themselves to one behind a NAT.
    proofs: usize,
}

fn run<D: Discovery>(seed: u64, nodes: usize) -> Seen {
    let mut network = Network::<D>::empty(seed, Plan::small(nodes));
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
    let named = all.iter().map(|&at| network.at(at).taps.named).sum();
    let named_unproven = all.iter().map(|&at| network.at(at).taps.named_unproven).sum();
    let tables = all.iter().flat_map(|&at| network.at(at).table());
    let ids: std::collections::BTreeSet<_> = tables.map(|(id, _)| id).collect();
    let listed = |of: &[usize]| {
        let listed = of.iter().filter(|&&at| ids.contains(&network.nodes[at].0.id));
        listed.count() as f64 / of.len() as f64
    };
    let (cones_listed, hidden_listed) = (listed(&cones), listed(&hidden));
    let proofs = |at: &usize| {
        let others = public.iter().map(|&other| &network.nodes[other].0);
        let (machine, now) = (&network.at(*at).machine, network.world.now());
        others.filter(|it| machine.has_proved(now, it.id, it.address)).count()
    };
    let proofs = hidden.iter().map(proofs).min().unwrap_or(0);

    network.set_links(Links::default());
    let from = network.choose(&hidden, 30);
    let found = network.look_around(&from);
    let by_hidden = network.sharpness_of(&found, &all, &public).found;
    let from = network.choose(&public, 30);
    let found = network.look_around(&from);
    let by_public = network.sharpness_of(&found, &all, &public).found;
    Seen { by_hidden, by_public, named, named_unproven, cones_listed, hidden_listed, proofs }
}
