use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use devp2p_core::{Family, LocalRecord, NodeId, NodeKey, Rng};
use devp2p_discv5::{Config, Driver, Handle, Service, Socket};
use tokio::net::UdpSocket;

use super::{Node, REQUEST_TIMEOUT, TALK_PROTOCOL};

pub(super) struct Ours {
    handle: Handle,
    node: devp2p_core::Node,
}

impl Node for Ours {
    async fn start(key: &NodeKey) -> Self {
        let io = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let socket = Socket::new(io).unwrap();
        let addr = socket.local_addr().unwrap();
        let mut local = LocalRecord::new(key.clone(), None, 1).unwrap();
        local.set_fallback_ip(addr.ip());
        local.set_udp_port(Family::V4, Some(addr.port()));
        let (local, seed) = (Arc::new(Mutex::new(local)), Rng::from_os().unwrap().seed());
        let mut config = Config::default();
        config.request_timeout = REQUEST_TIMEOUT;
        let (service, handle) = Service::new(config, key.clone(), local, Vec::new(), seed);
        tokio::spawn(Driver::new(service, socket));
        let mut requests = handle.register_talk(TALK_PROTOCOL).await.unwrap();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let answer = request.request().clone();
                request.respond(answer).await.unwrap();
            }
        });
        Self { node: devp2p_core::Node::from_record(handle.local_record()), handle }
    }

    async fn meet(&self, other: &Self) {
        // It is asked at once, and not when its turn comes.
        self.handle.add_bootstrap_node(other.node.clone()).await.unwrap();
        self.ping(other).await;
    }

    async fn count_known(&self) -> usize {
        let table = self.handle.table().await.unwrap();
        table.entries().filter(|entry| entry.verified.is_some()).count()
    }

    async fn ping(&self, other: &Self) {
        self.handle.ping(&other.node).await.unwrap();
    }

    async fn talk(&self, other: &Self, request: Vec<u8>) -> Vec<u8> {
        self.handle.talk(&other.node, TALK_PROTOCOL, request).await.unwrap().into()
    }

    async fn lookup(&self, target: NodeId) -> Vec<NodeId> {
        let found = self.handle.lookup(target).await.unwrap();
        found.iter().map(devp2p_core::Node::id).collect()
    }

    async fn stop(self) {
        self.handle.close().await;
    }
}
