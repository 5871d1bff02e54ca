//! Every suite on every implementation that there is, and on broken ones: each of those must be
//! found out by the clause that it breaks.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

mod contract {
    mod connection;
    mod dialer;
    mod discovery;
    #[cfg(feature = "discv4")]
    mod discv4;
    #[cfg(feature = "discv5")]
    mod discv5;
    #[cfg(feature = "dnsdisc")]
    mod dnsdisc;
    mod multiplexer;
    mod node_db;
    mod port_mapper;
    mod scheduler;
    #[cfg(feature = "socks5")]
    mod socks5;
    mod transport;
}
