//! What the user of the server may want: static nodes, trusted ones, and bans.

use std::time::{Duration, Instant};

use devp2p_core::{Ban, BanTarget, Node, NodeId};
use devp2p_dial::Input;
use devp2p_peer::DisconnectReason;
use tracing::debug;

use super::{BanError, Core, Output, PeerEntry, SetupFailure, bans::concerns};

impl Core {
    /// Adds a static node: it is dialed until it is connected, and again when it is gone.
    pub fn add_peer(&mut self, now: Instant, node: Node) {
        debug!(%node, "Adding static node");
        for setup in self.setups.values_mut() {
            setup.unwanted &= setup.expected != Some(node.id());
        }
        self.tell_scheduler(now, Input::AddStatic(node));
    }

    /// Forgets a static node, and disconnects it. Whether it was connected.
    pub fn remove_peer(&mut self, now: Instant, id: NodeId) -> bool {
        debug!(%id, "Removing static node");
        self.tell_scheduler(now, Input::RemoveStatic(id));
        for setup in self.setups.values_mut() {
            setup.unwanted |= setup.expected == Some(id);
        }
        let connected = self.peers.contains_key(&id);
        if connected {
            self.outputs.push_back(Output::Disconnect { id, reason: DisconnectReason::Requested });
        }
        connected
    }

    /// Trusts a node: no limit concerns it from here on.
    pub fn add_trusted_peer(&mut self, id: NodeId) {
        self.config.trusted.insert(id);
        if let Some(entry) = self.peers.get_mut(&id) {
            entry.trusted = true;
        }
    }

    /// Trusts a node no longer. It stays connected.
    pub fn remove_trusted_peer(&mut self, id: NodeId) {
        self.config.trusted.remove(&id);
        if let Some(entry) = self.peers.get_mut(&id) {
            entry.trusted = false;
        }
    }

    /// Has nothing to do with a node, or with a network, for so long; for good where that is `None`.
    /// It is `unix` seconds since 1970 now. Peers that this concerns are disconnected (reason 0x00),
    /// the trusted too, and static nodes are dialed again when it is over.
    ///
    /// # Errors
    /// Why nobody is banned.
    pub fn ban(
        &mut self,
        now: Instant,
        unix: u64,
        target: BanTarget,
        duration: Option<Duration>,
    ) -> Result<(), BanError> {
        if target == BanTarget::Id(self.config.local) {
            return Err(BanError::OwnId);
        }
        self.bans.insert(now, Ban::new(target, unix, duration), duration)?;
        debug!(%target, ?duration, "Banned");
        let concerned = |&(&id, entry): &(&NodeId, &PeerEntry)| concerns(&target, id, entry.ips());
        let reason = DisconnectReason::Requested;
        let ended = self.peers.iter().filter(concerned);
        self.outputs.extend(ended.map(|(&id, _)| Output::Disconnect { id, reason }));
        self.take_dials_back(now);
        Ok(())
    }

    /// Ends a ban, as it was made. Whether there was one.
    pub fn unban(&mut self, now: Instant, target: &BanTarget) -> bool {
        self.bans.remove(now, target)
    }

    /// Takes the bans of an earlier run over. It is `unix` seconds since 1970 now.
    pub fn restore_bans(&mut self, now: Instant, unix: u64, bans: Vec<Ban>) {
        for ban in bans.into_iter().filter(|ban| !ban.is_over(unix)) {
            let is_full = self.bans.insert(now, ban, ban.remaining(unix)).is_err();
            if is_full {
                break;
            }
        }
        self.take_dials_back(now);
    }

    /// Dials nobody of whom the driver has not heard and who is banned now.
    fn take_dials_back(&mut self, now: Instant) {
        let mut banned = Vec::new();
        self.outputs.retain(|output| match output {
            Output::Dial { setup, node, .. } if self.bans.concern_node(node) => {
                banned.push(*setup);
                false
            }
            _ => true,
        });
        for setup in banned {
            self.handle_setup_ended(now, setup, SetupFailure::Banned);
        }
    }
}
