//! What the methods tell of a node.

use std::net::SocketAddr;

use devp2p_core::{Host, Node};
use devp2p_peer::Direction;
use devp2p_server::{NodeInfo, PeerInfo};
use serde_json::{Map, Value, json};

/// What geth says of a subprotocol that tells nothing.
const UNKNOWN: &str = "unknown";

/// geth's `admin_peers`, an element.
pub(super) fn peer(info: &PeerInfo) -> Value {
    let caps: Vec<String> = info.capabilities.iter().map(ToString::to_string).collect();
    let protocols =
        info.protocols.iter().map(|(name, text)| (name.clone(), parsed(text.as_deref())));
    json!({
        "enode": enode(info),
        "id": info.id.to_string(),
        "name": info.name,
        "caps": caps,
        "network": {
            "localAddress": address(info.local_addr),
            "remoteAddress": address(info.remote_addr),
            "inbound": info.direction == Direction::Inbound,
            "trusted": info.is_trusted,
            "static": info.is_static,
        },
        "protocols": protocols.collect::<Map<_, _>>(),
    })
}

/// The URL of a peer, as geth makes it: with the other end's port, which for one that dialed us is
/// not the one that it listens on.
fn enode(info: &PeerInfo) -> String {
    let host = info.remote_addr.map(|addr| Host::Ip(addr.ip().to_canonical()));
    let port = info.remote_addr.map_or(0, |addr| addr.port());
    Node::new(info.public_key, host, port, port).to_enode()
}

/// geth's `admin_nodeInfo`.
pub(super) fn node(info: &NodeInfo) -> Value {
    let protocols =
        info.protocols.iter().map(|(name, text)| (name.clone(), parsed(text.as_deref())));
    json!({
        "id": info.id.to_string(),
        "name": info.name,
        "enode": info.enode.to_enode(),
        "enr": info.enr.to_string(),
        "ip": info.enode.ip().map_or_else(String::new, |ip| ip.to_string()),
        "ports": {
            "discovery": info.disc_addr.map_or(0, |addr| addr.port()),
            "listener": info.listen_addr.map_or(0, |addr| addr.port()),
        },
        "listenAddr": address(info.listen_addr),
        "protocols": protocols.collect::<Map<_, _>>(),
    })
}

/// The id of the network, where a chain is spoken for.
pub(super) fn network_id(info: &NodeInfo) -> Option<u64> {
    let eth = parsed(info.protocols.get("eth")?.as_deref());
    eth.get("network")?.as_u64()
}

/// What a subprotocol tells: JSON, or a text where it is none.
fn parsed(text: Option<&str>) -> Value {
    let Some(text) = text else { return UNKNOWN.into() };
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

pub(super) fn address(addr: Option<SocketAddr>) -> String {
    addr.map_or_else(String::new, |addr| addr.to_string())
}

/// A node as geth writes it: its record, or its URL where it has none.
pub(super) fn node_text(node: &Node) -> String {
    node.to_enr().unwrap_or_else(|| node.to_enode())
}
