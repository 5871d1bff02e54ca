//! The methods.

use std::sync::Arc;

use jsonrpsee::{
    Methods, RpcModule,
    core::RegisterMethodError,
    types::{ErrorObjectOwned, Params},
};
use serde_json::{Map, Value};

use super::{
    Node, bans,
    calls::{Calls, Numbers},
    dials::{dial_status, disconnect},
    events::subscribe,
    node::{network_id, node, peer},
    params::{failed, none, one_text},
    table::table,
};

/// What clients ask for to learn what they can call.
const MODULES: &str = "rpc_modules";

/// geth's version of every namespace.
const VERSION: &str = "1.0";

type Result<T> = std::result::Result<T, ErrorObjectOwned>;

/// All methods.
pub(super) fn all(node: &Arc<Node>) -> std::result::Result<Methods, RegisterMethodError> {
    let mut module = RpcModule::from_arc(Arc::clone(node));
    admin(&mut module)?;
    net(&mut module)?;
    debug(&mut module)?;
    module.register_method("web3_clientVersion", |params, node, _| {
        none(&params)?;
        Result::Ok(node.handle.node_info().name)
    })?;
    Ok(module.into())
}

/// The methods of these namespaces, and how one asks for them; and the namespaces that there are
/// not.
pub(super) fn of(
    all: &Methods,
    apis: &[String],
    numbers: &Arc<Numbers>,
) -> std::result::Result<(Calls, Vec<String>), RegisterMethodError> {
    let known = Calls::namespaces(all);
    let wanted: Vec<&str> = apis.iter().map(|api| api.trim()).collect();
    let unknown = wanted.iter().filter(|api| !known.contains(*api)).map(|&api| api.to_owned());
    let unknown = unknown.collect();
    let mut methods = Methods::new();
    for name in all.method_names() {
        let is_wanted = name.split_once('_').is_some_and(|(api, _)| wanted.contains(&api));
        if let Some(method) = all.method(name).filter(|_| is_wanted) {
            methods.verify_and_insert(name, method.clone())?;
        }
    }
    let served = known.into_iter().filter(|api| wanted.contains(api)).chain(["rpc"]);
    let served: Map<String, Value> = served.map(|api| (api.to_owned(), VERSION.into())).collect();
    let mut module = RpcModule::new(Value::from(served));
    module.register_method(MODULES, |params, served, _| {
        none(&params)?;
        Result::Ok(served.clone())
    })?;
    methods.merge(module)?;
    Ok((Calls::new(methods, numbers), unknown))
}

/// Every namespace.
pub(super) fn every(all: &Methods) -> Vec<String> {
    Calls::namespaces(all).into_iter().map(str::to_owned).collect()
}

fn admin(module: &mut RpcModule<Node>) -> std::result::Result<(), RegisterMethodError> {
    module.register_method("admin_addPeer", |params, node, _| {
        node.handle.add_peer(enode(&params)?);
        Result::Ok(true)
    })?;
    module.register_async_method("admin_removePeer", |params, node, _| async move {
        node.handle.remove_peer(enode(&params)?.id()).await;
        Result::Ok(true)
    })?;
    module.register_method("admin_addTrustedPeer", |params, node, _| {
        node.handle.add_trusted_peer(enode(&params)?.id());
        Result::Ok(true)
    })?;
    module.register_method("admin_removeTrustedPeer", |params, node, _| {
        node.handle.remove_trusted_peer(enode(&params)?.id());
        Result::Ok(true)
    })?;
    module.register_method("admin_peers", |params, node, _| {
        none(&params)?;
        Result::Ok(node.handle.peers().iter().map(peer).collect::<Vec<_>>())
    })?;
    module.register_method("admin_nodeInfo", |params, own, _| {
        none(&params)?;
        Result::Ok(node(&own.handle.node_info()))
    })?;
    module.register_method("admin_datadir", |params, node, _| {
        none(&params)?;
        let datadir = node.datadir.as_ref().map(|path| path.to_string_lossy().into_owned());
        Result::Ok(datadir.unwrap_or_default())
    })?;
    module.register_method("admin_banPeer", |params, node, _| {
        let (target, duration) = bans::whom_and_how_long(&params)?;
        let banned = node.handle.ban(target, duration);
        banned.map(|()| true).map_err(|error| failed(error.to_string()))
    })?;
    module.register_method("admin_unbanPeer", |params, node, _| {
        Result::Ok(node.handle.unban(bans::whom(&params)?))
    })?;
    module.register_method("admin_bans", |params, node, _| {
        none(&params)?;
        Result::Ok(node.handle.bans().iter().map(bans::ban).collect::<Vec<_>>())
    })?;
    module.register_method("admin_dialStatus", |params, node, _| {
        none(&params)?;
        Result::Ok(dial_status(&node.handle.dial_status()))
    })?;
    module.register_method("admin_disconnects", |params, node, _| {
        none(&params)?;
        Result::Ok(node.handle.disconnects().iter().map(disconnect).collect::<Vec<_>>())
    })?;
    module.register_subscription(
        "admin_subscribe",
        "admin_subscription",
        "admin_unsubscribe",
        subscribe,
    )?;
    Ok(())
}

fn net(module: &mut RpcModule<Node>) -> std::result::Result<(), RegisterMethodError> {
    module.register_method("net_version", |params, node, _| {
        none(&params)?;
        // A node without a chain is in no network; the answer is a number all the same.
        Result::Ok(network_id(&node.handle.node_info()).unwrap_or(0).to_string())
    })?;
    module.register_method("net_listening", |params, node, _| {
        none(&params)?;
        Result::Ok(node.handle.is_listening())
    })?;
    module.register_method("net_peerCount", |params, node, _| {
        none(&params)?;
        Result::Ok(format!("{:#x}", node.handle.peer_count()))
    })?;
    Ok(())
}

fn debug(module: &mut RpcModule<Node>) -> std::result::Result<(), RegisterMethodError> {
    module.register_async_method("debug_discoveryV4Table", |params, node, _| async move {
        none(&params)?;
        let Some(discovery) = node.handle.discv4() else { return Ok(Value::Null) };
        discovery.table().await.map(|info| table(&info)).map_err(|error| failed(error.to_string()))
    })?;
    module.register_async_method("debug_discoveryV5Table", |params, node, _| async move {
        none(&params)?;
        let Some(discovery) = node.handle.discv5() else { return Ok(Value::Null) };
        discovery.table().await.map(|info| table(&info)).map_err(|error| failed(error.to_string()))
    })?;
    Ok(())
}

/// The only argument, a node.
fn enode(params: &Params<'_>) -> Result<devp2p_core::Node> {
    let url = one_text(params)?;
    url.parse().map_err(|error| failed(format!("invalid enode: {error}")))
}
