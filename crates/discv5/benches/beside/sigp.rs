use std::{net::Ipv4Addr, sync::Arc};

use devp2p_core::{NodeId, NodeKey};
use discv5::{ConfigBuilder, Discv5, Enr, Event, IpMode, ListenConfig, NodeContact};
use enr::CombinedKey;
use tokio::net::UdpSocket;

use super::{Node, REQUEST_TIMEOUT, TALK_PROTOCOL};

pub(super) struct Sigp {
    node: Discv5,
    record: Enr,
    contact: NodeContact,
}

impl Node for Sigp {
    async fn start(key: &NodeKey) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = socket.local_addr().unwrap();
        let key = CombinedKey::secp256k1_from_bytes(key.to_bytes().as_mut()).unwrap();
        let mut record = Enr::builder();
        let record = record.ip4(Ipv4Addr::LOCALHOST).udp4(addr.port()).build(&key).unwrap();
        let listen = ListenConfig::FromSockets { ipv4: Some(Arc::new(socket)), ipv6: None };
        let config = ConfigBuilder::new(listen).request_timeout(REQUEST_TIMEOUT).build();
        let mut node = Discv5::new(record.clone(), key, config).unwrap();
        node.start().await.unwrap();
        let mut events = node.event_stream().await.unwrap();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let Event::TalkRequest(request) = event {
                    let answer = request.body().to_vec();
                    request.respond(answer).unwrap();
                }
            }
        });
        let contact = NodeContact::try_from_enr(record.clone(), IpMode::Ip4).unwrap();
        Self { node, record, contact }
    }

    async fn meet(&self, other: &Self) {
        // One that came to us is known, and would count as disconnected from then on.
        if self.node.find_enr(&other.record.node_id()).is_none() {
            self.node.add_enr(other.record.clone()).unwrap();
        }
        self.ping(other).await;
    }

    async fn count_known(&self) -> usize {
        self.node.connected_peers()
    }

    async fn ping(&self, other: &Self) {
        self.node.send_ping(other.record.clone()).await.unwrap();
    }

    async fn talk(&self, other: &Self, request: Vec<u8>) -> Vec<u8> {
        let talk = self.node.talk_req(other.contact.clone(), TALK_PROTOCOL.into(), request);
        talk.await.unwrap()
    }

    async fn lookup(&self, target: NodeId) -> Vec<NodeId> {
        let target = enr::NodeId::new(target.as_bytes());
        let found = self.node.find_node(target).await.unwrap();
        found.iter().map(|record| NodeId::new(record.node_id().raw())).collect()
    }

    async fn stop(mut self) {
        self.node.shutdown();
    }
}
