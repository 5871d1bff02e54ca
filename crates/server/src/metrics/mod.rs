//! Metrics of a server, for a recorder of the `metrics` facade.
//!
//! [`Builder::metrics`](crate::Builder::metrics) is given the recorder of this one server; the
//! recorder of the process is never touched, and two servers in a process share nothing. [`NAMES`]
//! lists what is recorded. What the server counts anyway is published every two seconds, and once
//! more when it stops; only distributions are recorded as they happen. So a message costs nothing
//! beyond the counters of its peer.
//!
//! ```
//! use std::sync::Arc;
//!
//! use devp2p_core::NodeKey;
//! use devp2p_server::{Server, metrics::Recorder};
//!
//! # async fn start(recorder: Arc<dyn Recorder + Send + Sync>)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder(NodeKey::generate()?).metrics(recorder).start().await?;
//! # server.stop().await;
//! # Ok(())
//! # }
//! ```

#[cfg(any(feature = "discv4", feature = "discv5"))]
mod discovery;
mod names;
mod publisher;
mod registry;
mod totals;

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use devp2p_peer::{Direction, Protocol};
use metrics::Histogram;
pub use metrics::{Recorder, Unit};
use tokio::time::{MissedTickBehavior, interval};

pub use self::names::{Kind, Metric, NAMES};
use self::{
    publisher::Publisher,
    registry::{Registry, word},
    totals::Totals,
};
use crate::{
    PeerControl, PeerDrop,
    probe::Stage,
    runtime::{self, Shared, State, lock},
};

/// How often what was counted is published. Collectors ask every 15 s or so; what is told is never
/// much older than what happens between two of their questions.
const TICK: Duration = Duration::from_secs(2);

/// Every how many ticks the tables are looked at: a picture of one copies all its nodes.
#[cfg(any(feature = "discv4", feature = "discv5"))]
const TABLE_TICKS: u32 = 5;

/// The metrics of one server.
pub(crate) struct Metrics {
    registry: Registry,
    /// Locked within the lock of the server's state.
    totals: Mutex<Totals>,
    /// Locked without it: recorders are the user's.
    publisher: Mutex<Publisher>,
    handshakes: [Handshakes; 2],
}

/// How long handshakes of one direction took.
struct Handshakes {
    secure: Histogram,
    hello: Histogram,
}

impl Handshakes {
    fn new(registry: &Registry, direction: Direction) -> Self {
        let direction = word(direction);
        let stage = |stage| {
            let labels = [("direction", &*direction), ("stage", stage)];
            registry.histogram("p2p_handshake_seconds", &labels)
        };
        Self { secure: stage("secure"), hello: stage("hello") }
    }
}

impl Metrics {
    /// Registers what there is to tell of a node that offers these subprotocols.
    pub(crate) fn new(recorder: Arc<dyn Recorder + Send + Sync>, protocols: &[Protocol]) -> Self {
        let registry = Registry::new(recorder);
        let handshakes = [Direction::Inbound, Direction::Outbound];
        Self {
            totals: Mutex::new(Totals::new(protocols)),
            publisher: Mutex::new(Publisher::new(&registry, protocols)),
            handshakes: handshakes.map(|direction| Handshakes::new(&registry, direction)),
            registry,
        }
    }

    /// A peer is gone. Called under the lock of the state.
    pub(crate) fn handle_gone(
        &self,
        state: &State,
        drop: &PeerDrop,
        control: Option<&dyn PeerControl>,
    ) {
        lock(&self.totals).handle_gone(state, drop, control);
    }

    /// A handshake succeeded.
    pub(crate) fn handle_handshake(&self, direction: Direction, stage: Stage, took: Duration) {
        let [inbound, outbound] = &self.handshakes;
        let handshakes = match direction {
            Direction::Inbound => inbound,
            Direction::Outbound => outbound,
        };
        match stage {
            Stage::Secure => handshakes.secure.record(took),
            Stage::Hello => handshakes.hello.record(took),
        }
    }

    /// Publishes what is known of connections and peers.
    pub(crate) fn publish(&self, shared: &Shared) {
        let now = runtime::now();
        let sample = shared.read(|state| lock(&self.totals).sample(state, now));
        let filtered = shared.filtered.load(Ordering::Relaxed);
        let ports = lock(&shared.ports).clone();
        let mut publisher = lock(&self.publisher);
        publisher.publish(&self.registry, &sample, filtered);
        if let Some(ports) = ports {
            publisher.publish_ports(&self.registry, &ports);
        }
    }
}

/// Publishes until the stop.
pub(crate) async fn run(shared: Arc<Shared>, metrics: Arc<Metrics>) {
    let _ = shared.quit.run_until_cancelled(publish_all(&shared, &metrics)).await;
}

async fn publish_all(shared: &Shared, metrics: &Metrics) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    #[cfg(any(feature = "discv4", feature = "discv5"))]
    let mut searches = Searches::new(shared, &metrics.registry);
    loop {
        ticks.tick().await;
        metrics.publish(shared);
        #[cfg(any(feature = "discv4", feature = "discv5"))]
        searches.publish(&metrics.registry).await;
    }
}

/// The discoveries that run.
#[cfg(any(feature = "discv4", feature = "discv5"))]
struct Searches {
    #[cfg(feature = "discv4")]
    v4: Option<(devp2p_discv4::Handle, discovery::V4)>,
    #[cfg(feature = "discv5")]
    v5: Option<(devp2p_discv5::Handle, discovery::V5)>,
    tick: u32,
}

#[cfg(any(feature = "discv4", feature = "discv5"))]
impl Searches {
    fn new(shared: &Shared, registry: &Registry) -> Self {
        Self {
            #[cfg(feature = "discv4")]
            v4: shared.discv4.clone().map(|handle| (handle, discovery::V4::new(registry))),
            #[cfg(feature = "discv5")]
            v5: shared.discv5.clone().map(|handle| (handle, discovery::V5::new(registry))),
            tick: 0,
        }
    }

    /// Publishes what the discoveries tell in time.
    async fn publish(&mut self, registry: &Registry) {
        use tokio::time::timeout;

        let shows_table = self.tick == 0;
        self.tick = self.tick.saturating_add(1) % TABLE_TICKS;
        #[cfg(feature = "discv4")]
        if let Some((handle, v4)) = &mut self.v4 {
            if let Ok(Ok(statistics)) = timeout(TICK, handle.statistics()).await {
                v4.publish(&statistics);
            }
            if shows_table && let Ok(Ok(table)) = timeout(TICK, handle.table()).await {
                v4.publish_table(registry, &table);
            }
        }
        #[cfg(feature = "discv5")]
        if let Some((handle, v5)) = &mut self.v5 {
            if let Ok(Ok(statistics)) = timeout(TICK, handle.statistics()).await {
                v5.publish(&statistics);
            }
            if shows_table && let Ok(Ok(table)) = timeout(TICK, handle.table()).await {
                v5.publish_table(registry, &table);
            }
        }
    }
}
