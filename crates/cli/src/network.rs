//! The public networks: their bootnodes and their chains.

use std::{fmt, str::FromStr, time::Duration};

use clap::ValueEnum;
use devp2p_core::{DiscoveryVersion, Node, ParseNodeError};
use devp2p_dnsdisc::{Link, LinkError};

use crate::eth::{Chain, ForkId, Forks, Position};

/// A public network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    Hoodi,
    Mainnet,
    Sepolia,
}

impl Network {
    /// The bootnodes of this version of discovery, which for v5 are those of every network, as in
    /// geth. The tests read all of them.
    pub(crate) fn bootnodes(self, version: DiscoveryVersion) -> Result<Vec<Node>, ParseNodeError> {
        let lines = self.list(version).lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::parse).collect()
    }

    /// The list in DNS of its nodes that speak eth: those of geth's params/bootnodes.go, which the
    /// Ethereum Foundation signs.
    pub(crate) fn dns_list(self) -> Result<Link, LinkError> {
        format!("{DNS_LISTS}@all.{self}.ethdisco.net").parse()
    }

    /// Its chain at this time since 1970, as if all blocks were there. No fork after BPO2 is known
    /// here: once one has passed, the fork id is another.
    pub(crate) fn chain(self, now: Duration) -> Chain {
        let (network_id, genesis, forks) = match self {
            Self::Hoodi => (560_048, HOODI_GENESIS, HOODI_FORKS),
            Self::Mainnet => (1, MAINNET_GENESIS, MAINNET_FORKS),
            Self::Sepolia => (11_155_111, SEPOLIA_GENESIS, SEPOLIA_FORKS),
        };
        let fork_id = ForkId::at(&genesis, forks, Position::at(now));
        Chain { network_id, genesis, fork_id, forks: Some(forks) }
    }

    /// A node a line, and where they are from.
    const fn list(self, version: DiscoveryVersion) -> &'static str {
        match (version, self) {
            (DiscoveryVersion::V5, _) => include_str!("../data/bootnodes/v5.txt"),
            (_, Self::Hoodi) => include_str!("../data/bootnodes/hoodi.txt"),
            (_, Self::Mainnet) => include_str!("../data/bootnodes/mainnet.txt"),
            (_, Self::Sepolia) => include_str!("../data/bootnodes/sepolia.txt"),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hoodi => "hoodi",
            Self::Mainnet => "mainnet",
            Self::Sepolia => "sepolia",
        })
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        <Self as ValueEnum>::from_str(text, false).map_err(|_| "wants mainnet, sepolia or hoodi")
    }
}

/// Who signs the lists in DNS of all public networks.
const DNS_LISTS: &str = "enrtree://AKA3AM6LPBYEUDMVNU3BSVQJ5AD45Y7YPOHJLEF6W26QOE4VTUDPE";

// The genesis blocks and the forks, from Homestead to BPO2, of geth's params/config.go. A fork that
// came with the genesis block is none.

const MAINNET_GENESIS: [u8; 32] = [
    0xd4, 0xe5, 0x67, 0x40, 0xf8, 0x76, 0xae, 0xf8, 0xc0, 0x10, 0xb8, 0x6a, 0x40, 0xd5, 0xf5, 0x67,
    0x45, 0xa1, 0x18, 0xd0, 0x90, 0x6a, 0x34, 0xe6, 0x9a, 0xec, 0x8c, 0x0d, 0xb1, 0xcb, 0x8f, 0xa3,
];

const MAINNET_FORKS: Forks = Forks {
    blocks: &[
        1_150_000, 1_920_000, 2_463_000, 2_675_000, 4_370_000, 7_280_000, 9_069_000, 9_200_000,
        12_244_000, 12_965_000, 13_773_000, 15_050_000,
    ],
    times: &[
        1_681_338_455,
        1_710_338_135,
        1_746_612_311,
        1_764_798_551,
        1_765_290_071,
        1_767_747_671,
    ],
};

const SEPOLIA_GENESIS: [u8; 32] = [
    0x25, 0xa5, 0xcc, 0x10, 0x6e, 0xea, 0x71, 0x38, 0xac, 0xab, 0x33, 0x23, 0x1d, 0x71, 0x60, 0xd6,
    0x9c, 0xb7, 0x77, 0xee, 0x0c, 0x2c, 0x55, 0x3f, 0xcd, 0xdf, 0x51, 0x38, 0x99, 0x3e, 0x6d, 0xd9,
];

const SEPOLIA_FORKS: Forks = Forks {
    blocks: &[1_735_371],
    times: &[
        1_677_557_088,
        1_706_655_072,
        1_741_159_776,
        1_760_427_360,
        1_761_017_184,
        1_761_607_008,
    ],
};

const HOODI_GENESIS: [u8; 32] = [
    0xbb, 0xe3, 0x12, 0x86, 0x8b, 0x37, 0x6a, 0x30, 0x01, 0x69, 0x2a, 0x64, 0x6d, 0xd2, 0xd7, 0xd1,
    0xe4, 0x40, 0x63, 0x80, 0xdf, 0xd8, 0x6b, 0x98, 0xaa, 0x8a, 0x34, 0xd1, 0x55, 0x7c, 0x97, 0x1b,
];

const HOODI_FORKS: Forks =
    Forks { blocks: &[], times: &[1_742_999_832, 1_761_677_592, 1_762_365_720, 1_762_955_544] };

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use devp2p_core::{EndpointClass, classify};
    use serde_json::Value;

    use super::*;
    use crate::hex::Hex;

    #[test]
    fn every_chain_is_that_of_the_vectors_at_any_time() {
        let vectors = include_str!("../tests/vectors/forkid.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        for network in Network::value_variants() {
            let name = network.to_possible_value().unwrap();
            let chains = vectors["go_ethereum"]["creation"].as_array().unwrap();
            let chain = chains.iter().find(|chain| chain["network"] == name.get_name()).unwrap();
            // Those after the last fork that came with a block.
            let last_block = chain["fork_blocks"].as_array().unwrap().last();
            let last_block = last_block.map_or(0, |block| block.as_u64().unwrap());
            let cases = chain["cases"].as_array().unwrap().iter();
            let cases: Vec<_> =
                cases.filter(|case| case["head"].as_u64() >= Some(last_block)).collect();
            assert!(cases.len() >= 10, "{network:?}");
            for case in cases {
                let found = network.chain(Duration::from_secs(case["time"].as_u64().unwrap()));
                assert_eq!(Hex(&found.genesis).to_string(), chain["genesis_hash"]);
                let expected =
                    format!("{}/{}", case["fork_hash"].as_str().unwrap(), case["fork_next"]);
                assert_eq!(found.fork_id.to_string(), expected, "{network:?}: {case}");
            }
        }
        let ids = [Network::Hoodi, Network::Mainnet, Network::Sepolia]
            .map(|network| network.chain(Duration::ZERO).network_id);
        assert_eq!(ids, [560_048, 1, 11_155_111]);
    }

    #[test]
    fn every_network_has_its_name_and_its_list() {
        for network in Network::value_variants() {
            let name = network.to_string();
            assert_eq!(name.parse(), Ok(*network));
            assert_eq!(network.to_possible_value().unwrap().get_name(), name);
            let list = network.dns_list().unwrap();
            assert_eq!(list.domain(), format!("all.{name}.ethdisco.net"));
        }
        assert!("ropsten".parse::<Network>().is_err());
    }

    #[test]
    fn every_bootnode_can_be_pinged() {
        let lists =
            Network::value_variants().iter().map(|network| (*network, DiscoveryVersion::V4));
        let mut v4_ids = BTreeSet::new();
        for (network, version) in lists.chain([(Network::Mainnet, DiscoveryVersion::V5)]) {
            let what = format!("{network:?} {version:?}");
            assert!(network.list(version).contains("# Source: github.com/"), "{what}");
            // Reading a record verifies its signature.
            let bootnodes = network.bootnodes(version).unwrap();
            assert!(bootnodes.len() >= 5, "{what}: {bootnodes:?}");
            let mut ids = BTreeSet::new();
            for node in bootnodes {
                let addr = node.udp_addr().unwrap_or_else(|| panic!("{what}: {node:?}"));
                assert_eq!(classify(addr.ip()), EndpointClass::Global, "{what}: {node:?}");
                assert!(ids.insert(node.id()), "{what}: {node:?} twice");
            }
            if version == DiscoveryVersion::V4 {
                assert!(v4_ids.is_disjoint(&ids), "{what}: of another network");
                v4_ids.extend(ids);
            }
        }
    }
}
