//! geth's peer events.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use devp2p_core::NodeId;
use devp2p_server::{Event, PeerMessage};
use jsonrpsee::{
    Extensions, IntoSubscriptionCloseResponse, PendingSubscriptionSink, SubscriptionCloseResponse,
    TrySendError, types::Params,
};
use serde_json::{Map, Value, value::to_raw_value};

use super::{
    Node,
    calls::{NOT_FOUND, Slow},
    node::address,
    params::{error, one_text},
};

/// The only subscription that there is.
const PEER_EVENTS: &str = "peerEvents";

/// Nothing more is said at the end of a subscription.
pub(super) struct Ended;

impl IntoSubscriptionCloseResponse for Ended {
    fn into_response(self) -> SubscriptionCloseResponse {
        SubscriptionCloseResponse::None
    }
}

/// `admin_subscribe`: tells a client of peers until it is gone, or does not want to know any more.
pub(super) async fn subscribe(
    params: Params<'static>,
    pending: PendingSubscriptionSink,
    node: Arc<Node>,
    extensions: Extensions,
) -> Ended {
    match one_text(&params) {
        Ok(name) if name == PEER_EVENTS => {}
        Ok(name) => {
            let why = format!("no {name:?} subscription in admin namespace");
            pending.reject(error(NOT_FOUND, why)).await;
            return Ended;
        }
        Err(error) => {
            pending.reject(error).await;
            return Ended;
        }
    }
    // Before the answer: what happens after it is told.
    let mut events = node.handle.events();
    let mut ends = Ends::default();
    for peer in node.handle.peers() {
        ends.0.insert(peer.id, (peer.local_addr, peer.remote_addr));
    }
    let Ok(mut sink) = pending.accept().await else { return Ended };
    loop {
        let event = tokio::select! {
            biased;
            () = sink.closed() => return Ended,
            event = events.next() => event,
        };
        let sent = match event {
            None => return Ended,
            Some(Event::Missed(_)) => Err(None),
            Some(event) => match ends.describe(event).and_then(|it| to_raw_value(&it).ok()) {
                Some(json) => sink.try_send(json).map_err(Some),
                None => Ok(()),
            },
        };
        match sent {
            Ok(()) => {}
            Err(Some(TrySendError::Closed(_))) => return Ended,
            Err(Some(TrySendError::Full(_)) | None) => {
                if let Some(slow) = extensions.get::<Slow>() {
                    slow.tell();
                }
                return Ended;
            }
        }
    }
}

/// The addresses of the connected peers, which the events about them carry in geth.
#[derive(Debug, Default)]
struct Ends(BTreeMap<NodeId, (Option<SocketAddr>, Option<SocketAddr>)>);

impl Ends {
    /// An event as geth writes it.
    fn describe(&mut self, event: Event) -> Option<Value> {
        Some(match event {
            Event::Add(add) => {
                self.0.insert(add.id, (add.local_addr, add.remote_addr));
                self.of_peer("add", add.id, Vec::new())
            }
            Event::Drop(drop) => {
                let error = drop.error.unwrap_or_else(|| drop.reason.to_string());
                let event = self.of_peer("drop", drop.id, vec![("error", error.into())]);
                self.0.remove(&drop.id);
                event
            }
            Event::MsgSend(message) => self.of_message("msgsend", message),
            Event::MsgRecv(message) => self.of_message("msgrecv", message),
            _ => return None,
        })
    }

    fn of_message(&self, kind: &str, message: PeerMessage) -> Value {
        let more = vec![
            ("protocol", message.capability.name.into()),
            ("msg_code", message.code.into()),
            ("msg_size", message.size.into()),
        ];
        self.of_peer(kind, message.id, more)
    }

    /// What is empty is left out.
    fn of_peer(&self, kind: &str, id: NodeId, more: Vec<(&str, Value)>) -> Value {
        let (local, remote) = self.0.get(&id).copied().unwrap_or_default();
        let ends = [("local", address(local).into()), ("remote", address(remote).into())];
        let first = [("type", kind.into()), ("peer", id.to_string().into())];
        let all = first.into_iter().chain(more).chain(ends);
        let told = all.filter(|(_, value)| *value != "");
        told.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>().into()
    }
}
