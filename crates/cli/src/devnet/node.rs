use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};

use devp2p_core::{DiscoveryVersion, Node, NodeKey};
use devp2p_peer::Protocol;
use devp2p_server::{Config, Handle, NodeInfo, Server, StartError};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use super::{
    ledger::Ledger,
    protocol::Devnet,
    topology::{DIAL_RATIO, MAX_PEERS},
};
use crate::{args::Versions, failure::Failure};

/// How long a killed runtime's threads have to end; they are at an await within microseconds.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// How many times a restarted node tries to get its ports back: something else may hold them
/// for a moment as the local end of a connection.
const BIND_ATTEMPTS: u32 = 20;

/// The pause between two of them.
const BIND_PAUSE: Duration = Duration::from_millis(100);

/// What a node keeps through its lives.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) index: usize,
    pub(super) key: NodeKey,
    /// Where it listens; port 0 until the first start.
    pub(super) addr: SocketAddr,
    /// The pause between two messages of one session.
    pub(super) pause: Duration,
}

impl Identity {
    pub(super) fn new(index: usize, pause: Duration) -> Result<Self, Failure> {
        let key = crate::key::fresh()?;
        Ok(Self { index, key, addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), pause })
    }
}

/// What a node is told of others at its start.
#[derive(Debug)]
pub(super) enum Known {
    /// The nodes to begin with; these versions of discovery find the rest.
    Bootnodes(Vec<Node>, Versions),
    /// The nodes to stay connected with; there is no discovery.
    StaticNodes(Vec<Node>),
}

/// A whole server in a runtime of its own, as if it were a process of its own.
#[derive(Debug)]
pub(super) struct Running {
    handle: Handle,
    runtime: Runtime,
}

impl Running {
    /// Where it listens, and how others find it.
    pub(super) fn node_info(&self) -> NodeInfo {
        self.handle.node_info()
    }

    /// Starts the node.
    pub(super) fn start(
        identity: &Identity,
        known: Known,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("node-{}", identity.index))
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Failure::work(format!("cannot start a runtime: {error}")))?;
        let config = config(identity, known, ledger);
        let mut attempt = 1;
        let handle = loop {
            let server = Server::from_config(config.clone()).map_err(Failure::work)?;
            match runtime.block_on(server.start()) {
                Ok(handle) => break handle,
                Err(StartError::Listen { .. } | StartError::ListenUdp { .. })
                    if attempt < BIND_ATTEMPTS =>
                {
                    attempt += 1;
                    thread::sleep(BIND_PAUSE);
                }
                Err(error) => {
                    return Err(Failure::work(format!("node {}: {error}", identity.index)));
                }
            }
        };
        Ok(Self { handle, runtime })
    }

    /// Adds a node to those that it stays connected with.
    pub(super) fn add_peer(&self, node: Node) {
        // Dialing begins as a task at once.
        let _context = self.runtime.enter();
        self.handle.add_peer(node);
    }

    /// How many peers it has.
    pub(super) fn peer_count(&self) -> usize {
        self.handle.peer_count()
    }

    /// Ends the node as a crash would: all tasks are dropped where they are, nobody is told, and
    /// the system closes the sockets.
    pub(super) fn kill(self) {
        self.runtime.shutdown_timeout(KILL_PATIENCE);
        // The last handle asks the server to stop, of which nothing is left to hear it.
        drop(self.handle);
    }

    /// Begins to stop the node with a goodbye to every peer.
    pub(super) fn begin_stop(&self) -> JoinHandle<()> {
        let handle = self.handle.clone();
        self.runtime.spawn(async move { handle.stop().await })
    }

    /// Waits for the stop.
    pub(super) fn finish_stop(self, stop: JoinHandle<()>) {
        // An error says that the stop panicked, which has been told already.
        let _ = self.runtime.block_on(stop);
        self.runtime.shutdown_timeout(KILL_PATIENCE);
    }
}

fn config(identity: &Identity, known: Known, ledger: &Arc<Ledger>) -> Config {
    let mut config = Config::new(identity.key.clone());
    config.name = format!("devnet-{}", identity.index);
    config.listen_addr = Some(identity.addr);
    match known {
        Known::Bootnodes(nodes, versions) => {
            config.bootstrap_nodes.clone_from(&nodes);
            config.bootstrap_nodes_v5 = nodes;
            config.discovery_v4 = versions.has(DiscoveryVersion::V4);
            config.discovery_v5 = versions.has(DiscoveryVersion::V5);
            config.max_peers = MAX_PEERS;
            config.dial_ratio = DIAL_RATIO;
        }
        Known::StaticNodes(nodes) => {
            config.static_nodes = nodes;
            config.no_discovery = true;
        }
    }
    config.protocols.push(Protocol::new(Devnet {
        ledger: Arc::clone(ledger),
        node: identity.index,
        life: ledger.life(identity.index),
        pause: identity.pause,
    }));
    config
}
