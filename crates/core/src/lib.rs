//! The vocabulary that all layers of the devp2p stack share. Nothing in here reads a clock or
//! opens a socket, and only key files touch the disk.
//!
//! - Identity: [`NodeKey`], [`PublicKey`], [`NodeId`]; key files of geth and, with feature
//!   `libp2p`, of libp2p.
//! - What is known of a node: [`Record`] (EIP-778) and [`Node`], from `enode://` or `enr:` text;
//!   [`LocalRecord`] for this node's own.
//! - Addresses: [`classify`], [`check_relay_addr`], [`LanPolicy`], [`prefix_group`],
//!   [`NetRestrict`], [`RateLimiter`].
//! - Time, memory and datagrams of the discovery protocols: [`WallClock`], [`Seed`], [`Transmit`].
//! - Seams: [`Message`] and [`Connection`], between a secure transport and the multiplexer;
//!   [`Rng`], the randomness of the machines; [`RlpItem`], which reads RLP in place; [`Fault`],
//!   which every error tells.
//!
//! Feature `serde` gives [`Node`], [`NodeId`], [`PublicKey`], [`Record`] and [`NetRestrict`] the
//! form of their texts.
//!
//! ```
//! use devp2p_core::{Family, LocalRecord, NetRestrict, Node, NodeKey, check_relay_addr};
//!
//! // A node's key is its identity.
//! let key = NodeKey::generate()?;
//!
//! // It tells the network of itself in a signed record, which changes as it learns more.
//! let mut local = LocalRecord::new(key, None, 1_700_000_000_000)?;
//! local.set_tcp_port(Family::V4, Some(30303));
//! local.set_udp_port(Family::V4, Some(30303));
//! local.set_voted("8.8.4.4:30305".parse()?);
//! local.set_entry("snap", [0xc0].as_slice())?;
//! let text = local.record().to_string();
//!
//! // Another node reads it; reading verifies the signature.
//! let node: Node = text.parse()?;
//! assert_eq!(node.id(), local.id());
//! assert_eq!(node.tcp_addr(), Some("8.8.4.4:30303".parse()?));
//! assert_eq!(node.udp_addr(), Some("8.8.4.4:30305".parse()?));
//! assert!(node.to_enode().ends_with("@8.8.4.4:30303?discport=30305"));
//!
//! // Whether to believe and to dial it is for the one who heard of it to say.
//! let sender = "1.2.3.4".parse()?;
//! assert!(check_relay_addr(sender, "8.8.4.4:30305".parse()?).is_ok());
//! assert!(check_relay_addr(sender, "192.168.0.7:30305".parse()?).is_err());
//! let allowed: NetRestrict = "8.8.0.0/16, 2001:4860::/32".parse()?;
//! assert!(node.ip().is_some_and(|ip| allowed.contains(ip)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod ban;
mod connection;
mod endpoint;
mod endpoint_votes;
mod fault;
mod id;
mod key;
mod key_file;
#[cfg(feature = "libp2p")]
mod libp2p;
mod limiter;
mod local_record;
mod net_restrict;
mod node;
mod record;
mod record_builder;
mod rlp_item;
mod rng;
mod seed;
#[cfg(feature = "serde")]
mod text;
mod transmit;
mod wall_clock;

pub use ban::{Ban, BanNet, BanTarget, MAX_BANS, ParseBanTargetError};
pub use connection::{BoxConnection, Connection, ConnectionError, Message, Traffic};
pub use endpoint::{
    EndpointClass, HIGHEST_REFUSED_UDP_PORT, LanPolicy, Prefix, RelayError, check_relay_addr,
    check_relay_ip, classify, prefix_group,
};
pub use fault::Fault;
pub use id::{NodeId, ParseNodeIdError};
pub use ipnet::IpNet;
pub use key::{KeyError, NodeKey, PublicKey};
pub use key_file::NodeKeyError;
#[cfg(feature = "libp2p")]
pub use libp2p::PeerIdError;
pub use limiter::{Rate, RateLimiter};
pub use local_record::{Family, LocalRecord};
pub use net_restrict::{NetRestrict, ParseNetRestrictError};
pub use node::{Host, Node, ParseNodeError};
pub use record::{Record, RecordError};
pub use record_builder::RecordBuilder;
pub use rlp_item::RlpItem;
pub use rng::Rng;
pub use seed::{DiscoveryVersion, Seed};
pub use transmit::Transmit;
pub use wall_clock::WallClock;
