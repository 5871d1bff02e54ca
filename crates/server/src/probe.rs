//! Where a server tells what there is to measure; without the feature `metrics`, nowhere.

use std::time::Duration;
#[cfg(feature = "metrics")]
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use devp2p_peer::Direction;
#[cfg(feature = "metrics")]
use tracing::error;

#[cfg(feature = "metrics")]
use crate::metrics::{self, Metrics};
use crate::{
    PeerControl, PeerDrop,
    runtime::{Shared, State},
};

/// The metrics of a server, where it has any.
#[derive(Clone, Default)]
pub(crate) struct Probe {
    #[cfg(feature = "metrics")]
    metrics: Option<Arc<Metrics>>,
}

/// The two steps that make a stream a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Secure,
    Hello,
}

#[cfg(feature = "metrics")]
impl Probe {
    pub(crate) const fn new(metrics: Option<Arc<Metrics>>) -> Self {
        Self { metrics }
    }

    /// A peer is gone. Called under the lock of the state.
    pub(crate) fn handle_gone(
        &self,
        state: &State,
        drop: &PeerDrop,
        control: Option<&dyn PeerControl>,
    ) {
        self.tell(|metrics| metrics.handle_gone(state, drop, control));
    }

    /// A handshake succeeded.
    pub(crate) fn handle_handshake(&self, direction: Direction, stage: Stage, took: Duration) {
        self.tell(|metrics| metrics.handle_handshake(direction, stage, took));
    }

    /// Publishes what was counted.
    pub(crate) fn publish(&self, shared: &Shared) {
        self.tell(|metrics| metrics.publish(shared));
    }

    /// Publishes again and again, until the stop.
    pub(crate) fn run(&self, shared: &Arc<Shared>) {
        if let Some(metrics) = &self.metrics {
            shared.spawn(metrics::run(Arc::clone(shared), Arc::clone(metrics)));
        }
    }

    /// A recorder is the user's, and so is a peer's handle: that it panics is no peer's end.
    fn tell(&self, tell: impl FnOnce(&Metrics)) {
        if let Some(metrics) = &self.metrics
            && catch_unwind(AssertUnwindSafe(|| tell(metrics))).is_err()
        {
            error!("The recorder of metrics panicked");
        }
    }
}

#[cfg(not(feature = "metrics"))]
#[expect(clippy::unused_self, reason = "as with the feature")]
impl Probe {
    pub(crate) const fn handle_gone(&self, _: &State, _: &PeerDrop, _: Option<&dyn PeerControl>) {}

    pub(crate) const fn handle_handshake(&self, _: Direction, _: Stage, _: Duration) {}

    pub(crate) const fn publish(&self, _: &Shared) {}

    pub(crate) const fn run(&self, _: &std::sync::Arc<Shared>) {}
}
