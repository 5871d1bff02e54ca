//! Our stack with other implementations of devp2p. One program, so that the tests that wait run
//! beside the others.
#![expect(clippy::unwrap_used, reason = "a test")]

mod base_protocol;
mod discv4;
mod discv5;
mod discv5_answers;
mod discv5_faults;
mod discv5_mixed;
mod discv5_servers;
mod dnsdisc;
mod drivers;
mod ethereumjs;
mod geth;
mod idle;
mod mixed;
mod nat;
mod programs;
mod reach;
mod rpc;
