//! What is wrong with options.

use std::fmt;

use devp2p_core::Node;
use devp2p_peer::{CapabilityError, Hello};

/// An option that works but hardly means what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The server neither dials nor listens.
    Useless,
    /// There are static nodes, and `no_dial` keeps them from being dialed.
    StaticNodesNotDialed,
    /// There are static nodes that are not trusted, and `max_peers` 0 has no place for them.
    StaticNodesRefused,
    /// The static node has no address that `net_restrict` allows, so it is not dialed.
    StaticNodeOutsideNetRestrict(Node),
    /// The bootstrap node has no address that `net_restrict` allows, so it is not asked.
    BootstrapNodeOutsideNetRestrict(Node),
    /// There are bootstrap nodes, and discovery does not run: neither `disc_addr` nor a TCP address
    /// is set, or it is not a part of this build.
    BootstrapNodesNotAsked,
    /// The `dialer` goes through a proxy, and discovery or the lookups of lists in DNS do not.
    SearchesBesideProxy,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Useless => {
                f.write_str("P2P server will be useless, neither dialing nor listening")
            }
            Self::StaticNodesNotDialed => {
                f.write_str("no_dial is set: static nodes will not be dialed")
            }
            Self::StaticNodesRefused => f.write_str(
                "max_peers is 0: static nodes will be dialed and refused, but for trusted ones",
            ),
            Self::StaticNodeOutsideNetRestrict(node) => {
                write!(f, "the static node {node} is outside of net_restrict: it is not dialed")
            }
            Self::BootstrapNodesNotAsked => f.write_str(
                "discovery has no UDP address: bootstrap nodes will not be asked; set disc_addr",
            ),
            Self::SearchesBesideProxy => f.write_str(
                "only connections go through the proxy: discovery and lists in DNS do not",
            ),
            Self::BootstrapNodeOutsideNetRestrict(node) => {
                write!(f, "the bootstrap node {node} is outside of net_restrict: it is not asked")
            }
        }
    }
}

/// A value that cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// `private_key` is not set.
    PrivateKeyMissing,
    /// `dial_ratio` is 0.
    DialRatioZero,
    /// `max_pending_peers` is 0 although the server listens.
    MaxPendingPeersZero,
    /// There are lists in DNS, and nothing that asks DNS: `dns_resolver` is not set.
    DnsResolverMissing,
    /// The option of this name is 0.
    Zero(&'static str),
    /// The option of this name is a range that ends before it begins.
    EmptyRange(&'static str),
    /// `name` is longer than peers keep, or has control characters.
    Name,
    /// A capability that cannot be offered.
    Protocols(CapabilityError),
    /// The name and the capabilities make a Hello of so many bytes.
    HelloTooLarge(usize),
    /// The node's own key among the static nodes.
    StaticNodeIsSelf(Node),
    /// A static node with an address and without a TCP port.
    StaticNodeWithoutPort(Node),
    /// A bootstrap node without a UDP endpoint, which discovery cannot ask.
    BootstrapNodeWithoutAddress(Node),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrivateKeyMissing => f.write_str("private_key must be set"),
            Self::DialRatioZero => f.write_str("dial_ratio must be at least 1"),
            Self::MaxPendingPeersZero => {
                f.write_str("max_pending_peers must be at least 1 for a server that listens")
            }
            Self::DnsResolverMissing => {
                f.write_str("dns_lists needs a dns_resolver, or the feature `hickory`")
            }
            Self::Zero(option) => write!(f, "{option} must not be zero"),
            Self::EmptyRange(option) => write!(f, "{option} ends before it begins"),
            Self::Name => {
                write!(f, "name must be at most {} bytes of printable text", Hello::MAX_NAME)
            }
            Self::Protocols(error) => error.fmt(f),
            Self::HelloTooLarge(size) => {
                write!(f, "a Hello of {size} bytes is above the limit of {}", Hello::MAX_SIZE)
            }
            Self::StaticNodeIsSelf(node) => write!(f, "the static node {node} is this node itself"),
            Self::StaticNodeWithoutPort(node) => {
                write!(f, "the static node {node} has no tcp port to dial")
            }
            Self::BootstrapNodeWithoutAddress(node) => {
                write!(f, "the bootstrap node {node} has no udp endpoint to ask")
            }
        }
    }
}

/// Options that cannot work: all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) const fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// What is wrong.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
