//! A devp2p server: secure connections, subprotocols and dialing, composed behind trait objects.
//!
//! [`Server::builder`] makes one; [`Handle`] is what runs. Every layer can be swapped:
//!
//! | trait | default | what it does |
//! |---|---|---|
//! | [`Dialer`], [`Listener`] | TCP | a byte stream to or from an address |
//! | [`Transport`] | RLPx | secures a byte stream |
//! | [`Multiplexer`] | the devp2p base protocol | Hello, then the subprotocols |
//! | [`DialScheduler`] | `devp2p_dial::Scheduler` | whom to dial next |
//! | [`Discovery`] | discovery v4 and v5, lists in DNS | candidates to dial |
//! | [`NodeDb`] | a [`MemoryNodeDb`] | what is remembered across restarts |
//! | [`PortMapper`] | what `Config::nat` says | gets the sockets through a NAT |
//!
//! Two servers on loopback, with a subprotocol that counts to three:
//!
//! ```
//! use bytes::Bytes;
//! use devp2p_core::{Message, NodeKey};
//! use devp2p_peer::{Capability, Peer, ProtocolError, ProtocolStream, Subprotocol};
//! use devp2p_server::{Event, Server};
//! use futures::{SinkExt as _, StreamExt as _};
//!
//! struct Count;
//!
//! impl Subprotocol for Count {
//!     fn capability(&self) -> Capability {
//!         Capability::new("count", 1)
//!     }
//!     fn length(&self) -> u64 {
//!         1
//!     }
//!     async fn run(&self, _: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
//!         for number in 1..=3 {
//!             stream.send(Message { id: 0, payload: Bytes::copy_from_slice(&[number]) }).await?;
//!             let heard = stream.next().await.ok_or(ProtocolError::bad_message("too few"))?;
//!             println!("heard {:?}", heard.payload);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let anywhere = "127.0.0.1:0".parse::<std::net::SocketAddr>()?;
//!     let server = || Ok::<_, getrandom::Error>(Server::builder(NodeKey::generate()?));
//!     let alice = server()?.protocol(Count).listen_addr(anywhere).start().await?;
//!     let bob = server()?.protocol(Count).listen_addr(None).start().await?;
//!     let mut events = bob.events();
//!     bob.add_peer(alice.node_info().enode);
//!     while !matches!(events.next().await, Some(Event::Drop(_)) | None) {}
//!     bob.stop().await;
//!     Ok(())
//! }
//! ```
//!
//! With the feature `metrics`, `Builder::metrics` takes a recorder of the `metrics` facade, for this
//! one server; the module `metrics` lists what it is told.
//!
//! Inside, [`Core`] is one machine without IO that decides who may connect; the tokio tasks around
//! it only carry its decisions out.
#![forbid(unsafe_code)]

mod base_protocol;
mod config;
#[cfg(feature = "test-util")]
pub mod contract;
mod dial_status;
mod dialer;
mod disconnects;
mod discovery;
#[cfg(feature = "discv4")]
mod discv4;
#[cfg(feature = "discv5")]
mod discv5;
#[cfg(feature = "dnsdisc")]
mod dnsdisc;
mod event;
mod filter;
mod handle;
mod local;
mod machine;
#[cfg(feature = "test-util")]
mod memory;
#[cfg(feature = "metrics")]
pub mod metrics;
mod multiplexer;
#[cfg(feature = "nat")]
mod nat;
mod node_db;
#[cfg(feature = "nodedb")]
mod nodedb;
mod peer_info;
mod port_mapper;
mod probe;
#[cfg(feature = "rlpx")]
mod rlpx;
mod runtime;
mod scheduler;
#[cfg(any(feature = "discv4", feature = "discv5"))]
mod search;
mod server;
mod sockets;
#[cfg(feature = "socks5")]
mod socks5;
#[cfg(test)]
mod testing;
mod transport;
pub mod udp;

#[cfg(feature = "discv4")]
pub use discv4::Discv4Nodes;
#[cfg(feature = "discv5")]
pub use discv5::Discv5Nodes;
#[cfg(feature = "dnsdisc")]
pub use dnsdisc::DnsNodes;
#[cfg(feature = "test-util")]
pub use memory::{MemoryDialer, MemoryListener, MemoryNetwork};
#[cfg(feature = "nat")]
pub use nat::NatMapper;
#[cfg(feature = "nodedb")]
pub use nodedb::FileNodeDb;
#[cfg(feature = "rlpx")]
pub use rlpx::RlpxTransport;
#[cfg(feature = "socks5")]
pub use socks5::{ParseSocks5Error, Socks5Dialer, Socks5Error, Socks5Refusal};

pub use self::{
    base_protocol::{BaseProtocol, MessageHook},
    config::{Config, ConfigError, DialOptions, DiscoveryShares, Problem, Warning},
    dial_status::{DialOutcome, DialRecord, DialStatus},
    dialer::{DIAL_TIMEOUT, Dialer, Io, Listener, RESOLVE_TIMEOUT, TcpDialer},
    disconnects::Disconnect,
    discovery::{Discovery, FairMix, NodeList},
    event::{Event, Events, PeerAdd, PeerDrop, PeerMessage},
    filter::DialFilter,
    handle::Handle,
    machine::{
        Admission, BanError, Core, CoreConfig, Counters, DirectionCounters, InboundLimits, Mix,
        Offered, Output, PeerEntry, SetupFailure, SetupId, Unwelcome,
    },
    multiplexer::{Multiplexer, Negotiated, PeerControl},
    node_db::{MemoryNodeDb, NodeDb, NodeDbError, Remembered, Row},
    peer_info::{NodeInfo, PeerInfo},
    port_mapper::{MappedSocket, PortEvent, PortMapper, PortStatus, SocketRole},
    runtime::SetupError,
    scheduler::DialScheduler,
    server::{Builder, Server, StartError},
    transport::{Transport, TransportError},
};
