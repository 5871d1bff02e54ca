use std::{fmt, time::Duration};

use bytes::Bytes;
use devp2p_core::{Node, NodeId, Record};
use devp2p_udp::{
    Commands, Lookup, LookupAnswer, Nodes, Rings, Rows, Search, SharedRecord, TableInfo,
};
use tokio::sync::mpsc;

use crate::{
    Event, Events, QueryError, ServiceStatistics, TalkRequests, command::Command,
    talk_requests::TALK_BUFFER,
};

/// The way to a running [`Service`](crate::Service). Clones are equal.
///
/// Commands wait for room in the service's queue of 64, which it empties whenever it is polled; so
/// nothing is answered while nobody polls it.
///
/// # Cancel safety
/// Every future in here may be dropped at any time. What was asked is cancelled then: nothing more
/// is sent for it, and nothing else is lost.
///
/// # Errors
/// [`QueryError::Closed`] everywhere, once the service has ended.
#[derive(Clone)]
pub struct Handle {
    commands: Commands<Command>,
    rings: Rings<Event>,
    local: SharedRecord,
}

impl Handle {
    pub(crate) const fn new(
        commands: Commands<Command>,
        rings: Rings<Event>,
        local: SharedRecord,
    ) -> Self {
        Self { commands, rings, local }
    }

    /// Looks for the nodes nearest to a target, and gives those that answered, nearest first. An
    /// empty answer says that nobody did.
    ///
    /// # Errors
    /// [`RequestError::Busy`](crate::RequestError::Busy), where too many lookups wait.
    pub async fn lookup(&self, target: impl Into<NodeId>) -> Result<Vec<Node>, QueryError> {
        let target = target.into();
        let command = |done| Command::Lookup(target, LookupAnswer::at_the_end(done));
        self.commands.ask(command).await
    }

    /// Looks for the nodes nearest to a target, and gives every node that answers at once.
    ///
    /// # Errors
    /// None but [`QueryError::Closed`]; others come from [`Lookup::finish`].
    pub async fn lookup_stream(
        &self,
        target: impl Into<NodeId>,
    ) -> Result<Lookup<QueryError>, QueryError> {
        let target = target.into();
        Lookup::start(&self.commands, |answer| Command::Lookup(target, answer)).await
    }

    /// Looks near to a target for nodes whose records `predicate` chooses, and gives at most `limit`
    /// of them. The predicate is called where the service is polled: it is to be quick.
    ///
    /// # Errors
    /// [`RequestError::Busy`](crate::RequestError::Busy), where too many lookups wait.
    pub async fn lookup_where(
        &self,
        target: impl Into<NodeId>,
        limit: usize,
        predicate: impl Fn(&Record) -> bool + Send + 'static,
    ) -> Result<Vec<Node>, QueryError> {
        let (target, predicate) = (target.into(), Box::new(predicate));
        let command =
            |done| Command::LookupWhere(target, limit, predicate, LookupAnswer::at_the_end(done));
        self.commands.ask(command).await
    }

    /// Looks for the nodes nearest to a random target.
    ///
    /// At most one such lookup starts a second. Those that ask while one is under way share it.
    ///
    /// # Errors
    /// [`RequestError::Busy`](crate::RequestError::Busy), where too many lookups wait.
    pub async fn lookup_random(&self) -> Result<Vec<Node>, QueryError> {
        self.commands.ask(Command::RandomLookup).await
    }

    /// Looks for one node, and its newest record. Nothing, if nobody knows it.
    ///
    /// # Errors
    /// [`RequestError::Busy`](crate::RequestError::Busy), where too many lookups wait.
    pub async fn resolve(&self, id: impl Into<NodeId>) -> Result<Option<Node>, QueryError> {
        let id = id.into();
        self.commands.ask(|answer| Command::Resolve(id, answer)).await
    }

    /// Sends PING, and gives the time to the PONG. Where there are no keys yet, only the last of the
    /// three packets that it takes then counts.
    ///
    /// # Errors
    /// [`QueryError::Request`], for example that there was no answer in time.
    pub async fn ping(&self, node: &Node) -> Result<Duration, QueryError> {
        self.commands.ask(|answer| Command::Ping(node.clone(), answer)).await
    }

    /// Asks one node for those that it knows at these logarithmic distances from itself, in one hop:
    /// at most 16, with verified records, which nobody has checked to be there.
    ///
    /// # Errors
    /// [`QueryError::Request`], for example that there was no answer in time.
    pub async fn find_node(
        &self,
        node: &Node,
        distances: impl IntoIterator<Item = u16>,
    ) -> Result<Vec<Node>, QueryError> {
        let distances = distances.into_iter().collect();
        self.commands.ask(|answer| Command::FindNode(node.clone(), distances, answer)).await
    }

    /// Sends a request of another protocol to a node, and gives its answer, which is empty where the
    /// node does not know the protocol.
    ///
    /// # Errors
    /// [`QueryError::Request`], for example that there was no answer in time.
    pub async fn talk(
        &self,
        node: &Node,
        protocol: impl Into<Bytes>,
        request: impl Into<Bytes>,
    ) -> Result<Bytes, QueryError> {
        let (protocol, request) = (protocol.into(), request.into());
        self.commands.ask(|answer| Command::Talk(node.clone(), protocol, request, answer)).await
    }

    /// Asks a node for its record.
    ///
    /// # Errors
    /// [`QueryError::Request`], for example that there was no answer in time.
    pub async fn request_enr(&self, node: &Node) -> Result<Record, QueryError> {
        self.commands.ask(|answer| Command::RequestEnr(node.clone(), answer)).await
    }

    /// Answers a protocol from now on: gives a stream of what other nodes ask of it. Whoever had
    /// registered it before has lost it, and the stream of that ends.
    ///
    /// # Errors
    /// None but [`QueryError::Closed`].
    pub async fn register_talk(
        &self,
        protocol: impl Into<Bytes>,
    ) -> Result<TalkRequests, QueryError> {
        let (sender, requests) = mpsc::channel(TALK_BUFFER);
        self.commands.send(Command::RegisterTalk(protocol.into(), sender)).await?;
        Ok(TalkRequests::new(requests, self.commands.clone()))
    }

    /// Tells of a node that may be there. It is checked like one of which a stranger told.
    ///
    /// # Errors
    /// None but [`QueryError::Closed`].
    pub async fn add_node(&self, node: Node) -> Result<(), QueryError> {
        Ok(self.commands.send(Command::AddNode(node)).await?)
    }

    /// Tells of one more bootstrap node. It is tried at once, and like those of
    /// [`Config::bootstrap_nodes`](crate::Config::bootstrap_nodes) never forgotten. One that is
    /// known by its id is from now on to be found at this address.
    ///
    /// # Errors
    /// None but [`QueryError::Closed`].
    pub async fn add_bootstrap_node(&self, node: Node) -> Result<(), QueryError> {
        Ok(self.commands.send(Command::AddBootstrapNode(node)).await?)
    }

    /// Verified nodes, without end.
    pub fn nodes(&self) -> Nodes {
        Nodes::new(self.clone())
    }

    /// What the discovery sees from now on.
    pub fn events(&self) -> Events {
        Events::new(&self.rings.events)
    }

    /// What the discovery wants remembered across restarts, from now on.
    pub fn rows(&self) -> Rows {
        Rows::new(&self.rings.rows)
    }

    /// A picture of the table.
    ///
    /// # Errors
    /// None but [`QueryError::Closed`].
    pub async fn table(&self) -> Result<TableInfo, QueryError> {
        self.commands.ask(Command::Table).await
    }

    /// What was counted since the start.
    ///
    /// # Errors
    /// None but [`QueryError::Closed`].
    pub async fn statistics(&self) -> Result<ServiceStatistics, QueryError> {
        self.commands.ask(Command::Statistics).await
    }

    /// Our own record, as it is now.
    pub fn local_record(&self) -> Record {
        self.local.record()
    }

    /// Ends the service, and returns when it has ended. Whoever waits for an answer gets
    /// [`QueryError::Closed`].
    pub async fn close(&self) {
        if self.commands.send(Command::Close).await.is_ok() {
            self.commands.closed().await;
        }
    }

    /// Whether the service has ended.
    pub fn is_closed(&self) -> bool {
        self.commands.is_closed()
    }
}

impl Search for Handle {
    type Error = QueryError;

    async fn meet(&self, found: Vec<Node>) -> Result<Vec<Node>, QueryError> {
        self.commands.ask(|answer| Command::NodesToMeet(found, answer)).await
    }

    async fn look_around(&self) -> Result<Vec<Node>, QueryError> {
        self.lookup_random().await
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
