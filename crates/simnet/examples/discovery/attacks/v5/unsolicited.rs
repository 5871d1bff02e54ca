//! Somebody who has a session with everybody sends answers that nobody asked for.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use devp2p_discv5::{
    Discv5, DropCause,
    message::{Body, Message, Nodes, Pong, RequestId, TalkResponse},
};

use crate::discovery::{
    attacks::{Attack, Bar, Measure},
    caller::Caller,
    keys::{StandIn, publish},
    network::{Network, Plan},
    node::Identity,
};

pub(crate) const ATTACK: Attack = Attack {
    name: "unsolicited NODES, PONGs and TALKRESPs",
    measures: &[
        Measure { what: "packets to those who were named", bar: Bar::AtMost(0.0) },
        Measure { what: "entries of those who were named, in all tables", bar: Bar::AtMost(0.0) },
        Measure { what: "of the messages, counted as unsolicited", bar: Bar::AtLeast(0.95) },
        Measure { what: "of the nearest nodes, found in lookups", bar: Bar::AtLeast(0.95) },
    ],
    run,
    nodes: 20,
};

const CALLER: Ipv4Addr = Ipv4Addr::new(45, 10, 7, 1);
const NAMED: Ipv4Addr = Ipv4Addr::new(60, 1, 1, 1);
const ROUNDS: usize = 30;
const NAMED_AT_ONCE: usize = 3;

fn run(seed: u64, nodes: usize) -> Vec<f64> {
    let mut plan = Plan::small(nodes);
    plan.pace = Some(Duration::from_secs(15));
    let mut network = Network::<Discv5<StandIn>>::new(seed, plan);
    network.run_for(30);
    let named = network.add_probe(NAMED);
    let mut caller = Caller::new(&mut network, CALLER);
    let mut sessions = Vec::new();
    for at in network.alive() {
        let to = network.nodes[at].0.clone();
        if let Some(session) = caller.connect(&mut network, &to) {
            sessions.push((to, session));
        }
    }
    assert!(sessions.len() * 10 > nodes * 8, "only {} sessions", sessions.len());

    let unsolicited = |network: &Network<Discv5<StandIn>>| -> u64 {
        let all = network.alive().into_iter().map(|at| network.at(at).machine.statistics());
        all.map(|statistics| statistics.dropped(DropCause::Unsolicited)).sum()
    };
    let before = unsolicited(&network);
    let made_up: Vec<_> = (0..ROUNDS * NAMED_AT_ONCE)
        .map(|n| {
            let address = SocketAddr::from((NAMED, 10_000 + n as u16));
            let record = Identity::new(&mut network.rng, address).record(1);
            publish(&record);
            record.to_bytes()
        })
        .collect();
    for records in made_up.chunks(NAMED_AT_ONCE) {
        for (to, session) in &mut sessions {
            let pong = Pong { enr_seq: u64::MAX, ip: NAMED.into(), port: 10_000 };
            let bodies = [
                Body::Nodes(Nodes { total: 1, records: records.to_vec() }),
                Body::Pong(pong),
                Body::TalkResponse(TalkResponse { response: [7; 100][..].to_vec().into() }),
            ];
            for body in bodies {
                let request_id = RequestId::new(&network.rng.next_u64().to_be_bytes()).unwrap();
                caller.say(&mut network, to, session, &Message { request_id, body });
            }
        }
        network.world.run_for(Duration::from_millis(50));
    }
    network.run_for(1);

    let sent = (sessions.len() * ROUNDS * 3) as f64;
    let dropped = (unsolicited(&network) - before) as f64 / sent;
    let all = network.alive();
    let is_named = |at: &&usize| network.at(**at).table().any(|(_, at)| at.ip() == NAMED);
    let with_named = all.iter().filter(is_named).count();
    let packets = network.world.traffic(named).received;
    let from = network.choose(&all, 50);
    let known = network.known(&from, &all);
    vec![packets as f64, with_named as f64, dropped, known.found]
}
