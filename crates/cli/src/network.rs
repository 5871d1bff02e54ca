//! The bootnodes of the public networks.

use clap::ValueEnum;
use devp2p_core::{Node, ParseNodeError};

/// A public network with bootnodes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    Hoodi,
    Mainnet,
    Sepolia,
}

impl Network {
    /// Its bootnodes. The tests read all of them.
    pub(crate) fn bootnodes(self) -> Result<Vec<Node>, ParseNodeError> {
        let lines = self.list().lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::parse).collect()
    }

    /// A node a line, and where they are from.
    const fn list(self) -> &'static str {
        match self {
            Self::Hoodi => include_str!("../data/bootnodes/hoodi.txt"),
            Self::Mainnet => include_str!("../data/bootnodes/mainnet.txt"),
            Self::Sepolia => include_str!("../data/bootnodes/sepolia.txt"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use devp2p_core::{EndpointClass, classify};

    use super::*;

    #[test]
    fn every_bootnode_can_be_pinged() {
        let mut ids = BTreeSet::new();
        for network in Network::value_variants() {
            assert!(network.list().contains("# Source: github.com/"), "{network:?}");
            // Reading a record verifies its signature.
            let bootnodes = network.bootnodes().unwrap();
            assert!(bootnodes.len() >= 5, "{network:?}: {bootnodes:?}");
            for node in bootnodes {
                let addr = node.udp_addr().unwrap_or_else(|| panic!("{network:?}: {node:?}"));
                assert_eq!(classify(addr.ip()), EndpointClass::Global, "{network:?}: {node:?}");
                assert!(ids.insert(node.id()), "{network:?}: {node:?} twice");
            }
        }
    }
}
