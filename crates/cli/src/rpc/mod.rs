//! JSON-RPC of a node over HTTP, WebSocket and a Unix socket, with geth's methods and shapes.

mod args;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

pub(crate) use self::args::RpcArgs;

/// Where RPC is answered. Nowhere by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Over HTTP.
    pub(crate) http: Option<Site>,
    /// Over WebSocket; at the address of HTTP, it shares its port.
    pub(crate) ws: Option<Site>,
    /// The path of the Unix socket, over which everything can be called.
    pub(crate) ipc: Option<PathBuf>,
}

/// What is answered at a TCP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    /// The address to listen on.
    pub(crate) addr: SocketAddr,
    /// The namespaces of the methods that can be called.
    pub(crate) apis: Vec<String>,
    /// The names in the header Host that are served, `*` for all; addresses are in any case.
    pub(crate) hosts: Vec<String>,
    /// The sites whose pages may call, `*` for all.
    pub(crate) origins: Vec<String>,
}

impl Site {
    /// What nothing outside of this machine can reach, with geth's defaults.
    pub(crate) fn on_loopback(port: u16) -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            apis: ["net", "web3"].map(str::to_owned).to_vec(),
            hosts: vec!["localhost".to_owned()],
            origins: Vec::new(),
        }
    }
}
