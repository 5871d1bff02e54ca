//! `devp2p discv5`.

use std::{io, time::Duration};

use devp2p_core::{DiscoveryVersion, Node, PublicKey, Record};
use devp2p_discv5::{
    Config, Driver, Event, Handle, QueryError, RequestError, Rows, Service, Source, TalkRequest,
};
use futures::{StreamExt as _, future::BoxFuture};

use super::{
    Discovery, Events, Start, Unanswered,
    ask::{self, Answer, Question, ask},
    describe, listen,
    running::Running,
};
use crate::{
    args::{Discv5Command, Discv5ListenArgs, TalkArgs},
    failure::Failure,
    hex::TextOrHex,
    output::Line,
    runtime::block_on,
};

/// Runs one of the commands.
pub(crate) fn run(command: Discv5Command) -> Result<(), Failure> {
    block_on(async {
        match command {
            Discv5Command::Listen(Discv5ListenArgs { echo, listen: args }) => {
                listen(args, async |discv5: &Discv5| discv5.echo(echo?).await).await
            }
            Discv5Command::Ask(command) => ask::run::<Discv5>(command).await,
            Discv5Command::Talk(TalkArgs { protocol, request, ask: args }) => {
                ask(Talk { protocol, request }, args).await
            }
        }
    })
}

struct Discv5(Handle);

impl Discv5 {
    /// Answers the requests of a protocol with what they hold, and tells of each.
    async fn echo(&self, protocol: TextOrHex) -> Option<Events> {
        // An error says that it has ended, of which those who watch it hear.
        let requests = self.0.register_talk(protocol.0).await.ok()?;
        Some(requests.then(async |request| Ok(answer_with_itself(request).await)).boxed())
    }
}

async fn answer_with_itself(request: TalkRequest) -> Line {
    let content = request.request().clone();
    let line = Line::of_peer("talk", request.id())
        .show("addr", request.endpoint())
        .show("protocol", TextOrHex(request.protocol().clone()))
        .show("request", TextOrHex(content.clone()));
    line.show_some("error", request.respond(content).await.err())
}

struct Talk {
    protocol: TextOrHex,
    request: TextOrHex,
}

impl Question<Discv5> for Talk {
    const FAILED: &'static str = "node didn't respond";

    async fn ask(&self, running: &Running<Discv5>, node: &Node) -> Result<Answer, Unanswered> {
        let (protocol, request) = (self.protocol.0.clone(), self.request.0.clone());
        let response = TextOrHex(running.handle.0.talk(node, protocol, request).await?);
        let line = Line::of_peer("talk", node.id())
            .show_some("addr", node.udp_addr())
            .show("protocol", &self.protocol)
            .show("response", &response);
        Ok(Answer { text: response.to_string(), line })
    }
}

impl Discovery for Discv5 {
    const VERSION: DiscoveryVersion = DiscoveryVersion::V5;

    fn new(start: Start) -> (Self, BoxFuture<'static, io::Result<()>>) {
        let Start { socket, key, local, bootnodes, seeds, seed } = start;
        let mut config = Config::default();
        config.bootstrap_nodes = bootnodes;
        let (service, handle) = Service::new(config, key, local, seeds, seed);
        (Self(handle), Box::pin(Driver::new(service, socket)))
    }

    fn events(&self) -> Events {
        let events = self.0.events();
        events.map(|event| event.map(|event| line(&event))).boxed()
    }

    fn rows(&self) -> Rows {
        self.0.rows()
    }

    fn local_record(&self) -> Record {
        self.0.local_record()
    }

    async fn close(&self) {
        self.0.close().await;
    }

    async fn ping(&self, node: &Node) -> Result<Duration, Unanswered> {
        Ok(self.0.ping(node).await?)
    }

    async fn request_enr(&self, node: &Node) -> Result<Record, Unanswered> {
        Ok(self.0.request_enr(node).await?)
    }

    async fn resolve(&self, key: PublicKey) -> Result<Option<Node>, Unanswered> {
        Ok(self.0.resolve(key).await?)
    }
}

impl From<QueryError> for Unanswered {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Closed => Self::Closed,
            QueryError::Request(RequestError::Timeout) => Self::Silence,
            QueryError::Request(
                error @ (RequestError::NoEndpoint | RequestError::OwnId | RequestError::TooLarge),
            ) => Self::Arguments(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

fn line(event: &Event) -> Line {
    match event {
        Event::NodeVerified(node) => describe("verified", node),
        Event::NodeRemoved(node) => describe("removed", node),
        Event::RequestTimeout { id, endpoint, kind } => {
            Line::of_peer("timeout", *id).show("addr", endpoint).show("request", kind)
        }
        Event::SessionEstablished { id, endpoint, is_initiator } => {
            Line::of_peer("session", *id).show("addr", endpoint).with("initiator", *is_initiator)
        }
        Event::Sighting { node, source } => {
            let (source, by) = match source {
                Source::Nodes(id) => ("nodes", Some(id)),
                _ => ("handshake", None),
            };
            describe("sighting", node).with("source", source).show_some("by", by)
        }
        Event::Vote { voter, endpoint } => {
            Line::new("vote").show("voter", voter).show("endpoint", endpoint)
        }
        // Those of queries and of the database do not come here.
        _ => Line::new("other"),
    }
}
