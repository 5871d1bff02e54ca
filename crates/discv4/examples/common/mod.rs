//! A node with nothing but discovery.

use std::{
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use devp2p_core::{Family, LocalRecord, Node, NodeKey, Rng};
use devp2p_discv4::{Config, Driver, Handle, Service, Socket};

/// Starts a node with a new key, which knows of `bootstrap_nodes`.
pub(crate) fn start(
    addr: SocketAddr,
    bootstrap_nodes: Vec<Node>,
) -> Result<Handle, Box<dyn Error>> {
    let socket = Socket::bind(addr)?;
    let addr = socket.local_addr()?;

    // What it tells of itself. The others will tell it more, if they see it elsewhere.
    let key = NodeKey::generate()?;
    #[expect(clippy::disallowed_methods, reason = "the first number of a record is a clock's")]
    let unix_millis = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis().try_into()?;
    let mut local = LocalRecord::new(key.clone(), None, unix_millis)?;
    local.set_fallback_ip(addr.ip());
    for family in [Family::V4, Family::V6] {
        local.set_udp_port(family, Some(addr.port()));
    }

    let mut config = Config::default();
    config.bootstrap_nodes = bootstrap_nodes;
    let (local, seed) = (Arc::new(Mutex::new(local)), Rng::from_os()?.seed());
    let (service, handle) = Service::new(config, key, local, Vec::new(), seed);
    tokio::spawn(Driver::new(service, socket));
    Ok(handle)
}

/// What a started node is to others.
pub(crate) fn node(handle: &Handle) -> Node {
    Node::from_record(handle.local_record())
}
