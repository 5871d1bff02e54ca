//! `devp2p discv4`.

use std::{io, time::Duration};

use devp2p_core::{DiscoveryVersion, Node, PublicKey, Record};
use devp2p_discv4::{
    Config, Driver, Event, Handle, QueryError, RequestError, Rows, Service, Source,
};
use futures::{StreamExt as _, future::BoxFuture};

use super::{Discovery, Events, Start, Unanswered, ask, describe, listen};
use crate::{args::Discv4Command, failure::Failure, output::Line, runtime::block_on};

/// Runs one of the commands.
pub(crate) fn run(command: Discv4Command) -> Result<(), Failure> {
    block_on(async {
        match command {
            Discv4Command::Listen(args) => listen(args, async |_: &Discv4| None).await,
            Discv4Command::Ask(command) => ask::run::<Discv4>(command).await,
        }
    })
}

struct Discv4(Handle);

impl Discovery for Discv4 {
    const VERSION: DiscoveryVersion = DiscoveryVersion::V4;

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
            QueryError::Request(error @ (RequestError::NoEndpoint | RequestError::OwnId)) => {
                Self::Arguments(error.to_string())
            }
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
        Event::Sighting { node, source } => {
            let (source, by) = match source {
                Source::Neighbors(id) => ("neighbors", Some(id)),
                _ => ("ping", None),
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
