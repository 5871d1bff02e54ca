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
//! | [`Discovery`] | an empty [`NodeList`] | candidates to dial |
//!
//! Inside, [`Core`] is one machine without IO that decides who may connect; the tokio tasks around
//! it only carry its decisions out.
#![forbid(unsafe_code)]

mod base_protocol;
mod config;
#[cfg(feature = "test-util")]
pub mod contract;
mod dialer;
mod discovery;
mod event;
mod handle;
mod local;
mod machine;
#[cfg(feature = "test-util")]
mod memory;
mod multiplexer;
mod peer_info;
#[cfg(feature = "rlpx")]
mod rlpx;
mod runtime;
mod scheduler;
mod server;
mod transport;

#[cfg(feature = "test-util")]
pub use memory::{MemoryDialer, MemoryListener, MemoryNetwork};
#[cfg(feature = "rlpx")]
pub use rlpx::RlpxTransport;

pub use self::{
    base_protocol::{BaseProtocol, MessageHook},
    config::{Config, ConfigError, Problem, Warning},
    dialer::{DIAL_TIMEOUT, Dialer, Io, Listener, RESOLVE_TIMEOUT, TcpDialer},
    discovery::{Discovery, FairMix, NodeList},
    event::{Event, Events, PeerAdd, PeerDrop, PeerMessage},
    handle::Handle,
    machine::{
        Admission, Core, CoreConfig, Counters, InboundLimits, Output, PeerEntry, SetupFailure,
        SetupId, Unwelcome,
    },
    multiplexer::{Multiplexer, Negotiated, PeerControl},
    peer_info::{NodeInfo, PeerInfo},
    runtime::SetupError,
    scheduler::DialScheduler,
    server::{Builder, Server, StartError},
    transport::{Transport, TransportError},
};
