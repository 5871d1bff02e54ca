//! How the nodes of a network are set up.

use devp2p_core::DiscoveryVersion;

use super::defences::Defences;

/// What all nodes of a network have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) nodes: usize,
    pub(crate) discoveries: Discoveries,
    pub(crate) defences: Defences,
    /// By how much sooner than in a life of hours nodes are remembered, so that a run of minutes
    /// has the same.
    pub(crate) haste: u32,
}

impl Setup {
    /// So many servers as they are shipped.
    pub(crate) const fn of(nodes: usize) -> Self {
        Self { nodes, discoveries: Discoveries::Both, defences: Defences::ALL, haste: 1 }
    }

    pub(crate) const fn with(self, defences: Defences) -> Self {
        Self { defences, ..self }
    }
}

/// Which versions of discovery they speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discoveries {
    Both,
    V4,
    V5,
}

impl Discoveries {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "both" => Self::Both,
            "v4" => Self::V4,
            "v5" => Self::V5,
            _ => return None,
        })
    }

    /// In the order in which they are asked whose a datagram is.
    pub(crate) const fn versions(self) -> &'static [DiscoveryVersion] {
        match self {
            Self::Both => &[DiscoveryVersion::V5, DiscoveryVersion::V4],
            Self::V4 => &[DiscoveryVersion::V4],
            Self::V5 => &[DiscoveryVersion::V5],
        }
    }
}
