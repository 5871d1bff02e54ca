//! Twenty whole servers on a paused clock, connected to each other from static lists alone.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::time::Duration;

use devp2p_core::NodeId;
use devp2p_server::{Event, Handle};
use tokio::task::JoinSet;

use self::support::{
    id,
    links::{Latency, Links},
    node, now, server,
};

const SERVERS: u16 = 20;

/// How many others each has in its static list: the next ones in a ring.
const STATICS: u16 = 6;

/// So each is connected with these and with as many that have it in their lists.
const TARGET: usize = 12;

/// What one server told: when, in virtual time since the start, and what happened.
type Trace = Vec<(Duration, u16, String)>;

/// Builds the mesh, runs it for a virtual minute, stops one server and starts it again, and gives
/// back everything that all of them told.
async fn run(seed: u64) -> Trace {
    let start = now();
    let millis = Duration::from_millis;
    let latency = Latency { base: millis(5)..=millis(80), jitter: millis(0)..=millis(15) };
    let links = Links::new(latency, seed);
    let (mut servers, mut traces) = (Vec::new(), JoinSet::new());
    for n in 0..SERVERS {
        let handle = launch(&links, n, start, &mut traces).await;
        servers.push(handle);
    }

    tokio::time::sleep(Duration::from_secs(20)).await;
    for (n, handle) in (0..).zip(&servers) {
        let connected: Vec<NodeId> = handle.peers().iter().map(|peer| peer.id).collect();
        let mut wanted: Vec<NodeId> = (1..=STATICS)
            .flat_map(|step| [(n + step) % SERVERS, (n + SERVERS - step) % SERVERS])
            .map(id)
            .collect();
        wanted.sort();
        assert_eq!(wanted.len(), TARGET);
        assert_eq!(connected, wanted, "the peers of server {n} with seed {seed}");
    }

    // The one that comes back finds its place again.
    servers[7].stop().await;
    servers[7] = launch(&links, 7, start, &mut traces).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    for (n, handle) in servers.iter().enumerate() {
        assert_eq!(handle.peer_count(), TARGET, "the peers of server {n} with seed {seed}");
    }

    for handle in &servers {
        handle.stop().await;
    }
    let mut trace: Trace = traces.join_all().await.into_iter().flatten().collect();
    trace.sort();
    trace
}

async fn launch(
    links: &Links,
    n: u16,
    start: tokio::time::Instant,
    traces: &mut JoinSet<Trace>,
) -> Handle {
    let mut builder = server(links, n);
    for step in 1..=STATICS {
        builder = builder.static_node(node((n + step) % SERVERS));
    }
    let handle = builder.start().await.unwrap();
    let mut events = handle.events();
    traces.spawn(async move {
        let mut trace = Vec::new();
        while let Some(event) = events.next().await {
            assert!(!matches!(event, Event::Missed(_)));
            trace.push((now() - start, n, format!("{event:?}")));
        }
        trace
    });
    handle
}

#[tokio::test(start_paused = true)]
async fn twenty_servers_mesh_from_static_lists() {
    let trace = run(1).await;
    let adds = trace.iter().filter(|(_, _, event)| event.starts_with("Add")).count();
    let drops = trace.iter().filter(|(_, _, event)| event.starts_with("Drop")).count();
    assert_eq!(adds, drops, "every peer that was added was dropped, once");
    assert!(adds >= usize::from(SERVERS) * TARGET, "{adds} peers were added");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_trace() {
    let first = run(2).await;
    assert_eq!(first, run(2).await);
    assert_ne!(first, run(3).await, "the seed decides nothing");
}
