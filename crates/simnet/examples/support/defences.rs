//! The limits that an eclipse has to overcome, to be left out one by one.

use std::time::Duration;

use devp2p_core::Rate;
use devp2p_server::CoreConfig;

use super::machine::Limits;

/// Which defences are in force. A node as it is shipped has all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Defences {
    /// Places of the table for one /24.
    pub(crate) groups: bool,
    /// Dialed peers in one /24.
    pub(crate) prefixes: bool,
    /// Seeds, proofs and anchors from before the restart.
    pub(crate) memory: bool,
    /// Inbound connections by address.
    pub(crate) throttle: bool,
    /// Packets from one /24, and PINGs to one address.
    pub(crate) rates: bool,
    /// Who comes to us waits for a place until our first refresh is over.
    pub(crate) patience: bool,
}

impl Defences {
    pub(crate) const ALL: Self = Self {
        groups: true,
        prefixes: true,
        memory: true,
        throttle: true,
        rates: true,
        patience: true,
    };
    pub(crate) const NONE: Self = Self {
        groups: false,
        prefixes: false,
        memory: false,
        throttle: false,
        rates: false,
        patience: false,
    };

    /// All but the one with this name.
    pub(crate) fn without(name: &str) -> Option<Self> {
        let all = Self::ALL;
        Some(match name {
            "groups" => Self { groups: false, ..all },
            "prefixes" => Self { prefixes: false, ..all },
            "memory" => Self { memory: false, ..all },
            "throttle" => Self { throttle: false, ..all },
            "rates" => Self { rates: false, ..all },
            "patience" => Self { patience: false, ..all },
            "all" => Self::NONE,
            _ => return None,
        })
    }

    /// Leaves out what is left out of a discovery.
    pub(crate) fn apply_to_discovery(self, limits: Limits<'_>) {
        if !self.groups {
            limits.table.bucket_group_limit = usize::MAX;
            limits.table.table_group_limit = usize::MAX;
        }
        *limits.newcomers_wait = self.patience;
        if !self.rates {
            for rate in limits.rates {
                *rate = Rate::per_second(u32::MAX);
            }
        }
    }

    /// Leaves out what is left out of the rest.
    pub(crate) fn apply(self, dial: &mut devp2p_dial::Config, core: &mut CoreConfig) {
        if !self.prefixes {
            dial.max_dialed_per_prefix = usize::MAX;
        }
        if !self.throttle {
            core.inbound.per_address = Duration::ZERO;
            core.inbound.per_prefix = u32::MAX;
            core.inbound.peers_per_prefix = usize::MAX;
        }
    }
}
