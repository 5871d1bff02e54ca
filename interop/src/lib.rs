//! Other implementations of devp2p as peers for tests: go-ethereum, `@ethereumjs/devp2p`, and for
//! discovery v5 `@chainsafe/discv5` and the crate `discv5` of Sigma Prime.
//!
//! They run as child processes on 127.0.0.1 and speak JSON lines on stdin and stdout; the programs
//! are in `geth/` (a Go module), `js/` (an npm package) and `examples/sigp.rs`. This crate builds
//! them into the target directory, starts them and drives them; the tests are in `tests/`.
//!
//! A NAT is one of network namespaces, with miniupnpd and coturn, as root on Linux.
//!
//! [`geth`], [`ethereumjs`], [`chainsafe`], [`sigp`] and [`nat_programs`] give the programs, or `None` where the
//! test is to be left out, which they say by name on stderr. The environment variable `DEVP2P_INTEROP` decides:
//!
//! | value     | what the machine lacks is | what it has is |
//! |-----------|---------------------------|----------------|
//! | not set   | left out                  | tested         |
//! | `require` | a failure                 | tested         |
//! | `off`     | left out                  | left out       |
//!
//! As everything here serves tests, it panics where something fails.
#![forbid(unsafe_code)]
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod availability;
mod discovery;
mod event;
mod foreign;
mod foreign_discv5;
mod geth_network;
mod geth_node;
mod itest;
mod local;
mod name_server;
mod nat_network;
mod ours;
mod ours_discovery;
mod ours_discv5;
mod process;
mod program;
mod raw;
mod running;
mod socks5;
mod web3;
mod wire_node;

pub use availability::{
    chainsafe, ethereumjs, geth, geth_node, knot, microsocks, nat_programs, sigp, web3,
};
pub use discovery::{Answer, Known, Ponged};
pub use event::{Batch, Event};
pub use foreign::{Dropped, Foreign};
pub use foreign_discv5::{
    Discv5Entry, Discv5Options, Discv5Pong, Discv5Program, ECHO, ForeignDiscv5,
};
pub use geth_network::{GethNetwork, Looked, Plan};
pub use geth_node::{GethNode, NodeUnderTest, Watcher};
pub use itest::{Itest, Session, Sessions};
pub use local::{Local, Running};
pub use name_server::{Knot, NameServer};
pub use nat_network::{NatNetwork, NatPrograms, NodeBehindNat};
pub use ours::Ours;
pub use ours_discovery::OurDiscovery;
pub use ours_discv5::OurDiscv5;
pub use program::{Geth, Npm, OurPrograms, Sigp};
pub use raw::Raw;
pub use running::RunningProgram;
pub use socks5::{Microsocks, Socks5Proxy};
pub use web3::Web3;
pub use wire_node::{Target, WireNode};
