use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use devp2p_core::{LocalRecord, Node, NodeKey, Record, Seed, Transmit, WallClock};
use devp2p_udp::{
    Answer, DatagramService, Inbox, LookupAnswer, Rings, Row, SharedRecord, Timer, clock, commands,
};
use tokio::sync::mpsc;

use crate::{
    Config, Discv5, Event, Handle, Output, QueryError, QueryId, RequestError, Statistics, Usage,
    command::Command, crypto::Identity, table_info::table_info, talk_requests::Asked,
};

/// Those who wait for one random lookup: far more than any program has use for.
const MAX_SHARERS: usize = 1_024;

/// Node Discovery v5 without a socket: the machine, the commands of [handles](Handle), and events.
///
/// It is a part of whatever owns the socket, a [`DatagramService`];
/// [`Driver`](crate::Driver) is the simplest owner.
///
/// It needs tokio's timer and nothing else, so that it runs on paused time, too. It shows the
/// network the record that is in the [`LocalRecord`] when it sends, and tells that how other nodes
/// see us.
///
/// It is over when [`Handle::close`] was called, or when all handles are gone, and with them all
/// [`Nodes`](crate::Nodes) and [`TalkRequests`](crate::TalkRequests), which keep it alive like a
/// handle. The streams of events and of
/// [`Row`]s do not: they end with it. Dropping it is the same.
pub struct Service<I: Identity + Send + 'static = NodeKey> {
    machine: Discv5<I>,
    local: SharedRecord,
    inbox: Inbox<Command>,
    queries: BTreeMap<QueryId, Query>,
    /// Who answers which protocol.
    talks: BTreeMap<Bytes, mpsc::Sender<Asked>>,
    /// Whether there is no other service on the socket.
    is_alone: bool,
    timer: Timer,
    rings: Rings<Event>,
    receive_errors: u64,
    send_errors: u64,
    ended: bool,
}

/// What a [`Service`] has counted since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceStatistics {
    /// What the machine counted.
    pub machine: Statistics,
    /// The errors that the socket reported instead of a datagram.
    pub receive_errors: u64,
    /// The datagrams that the socket did not send, because of an error.
    pub send_errors: u64,
    /// How much the machine keeps at this moment.
    pub usage: Usage,
}

/// A command that is under way, and who waits for it.
#[derive(Debug)]
enum Query {
    Enr(Answer<Record, QueryError>),
    FindNode(Answer<Vec<Node>, QueryError>),
    Lookup(LookupAnswer<QueryError>),
    Ping(Answer<Duration, QueryError>),
    RandomLookup(Vec<Answer<Vec<Node>, QueryError>>),
    Resolve(Answer<Option<Node>, QueryError>),
    Talk(Answer<Bytes, QueryError>),
}

impl Service {
    /// A service, and the first handle to it.
    ///
    /// `local` is the record to show; its key is `key`. `seeds` are the nodes remembered from an
    /// earlier run, and `seed` is the seed of what is random, from
    /// [`Rng::from_os`](devp2p_core::Rng::from_os).
    pub fn new(
        config: Config,
        key: NodeKey,
        local: Arc<Mutex<LocalRecord>>,
        seeds: Vec<Seed>,
        seed: [u8; 32],
    ) -> (Self, Handle) {
        let now = clock::now();
        let record = SharedRecord::new(Arc::clone(&local)).record();
        let mut machine = Discv5::new(config, key, record, seed, now, clock::wall_clock(now));
        machine.add_seeds(now, seeds);
        Self::from_machine(machine, local)
    }
}

impl<I: Identity + Send + 'static> Service<I> {
    /// A service around a machine that was made before, with clocks or signatures of its own; and
    /// the first handle to it.
    pub fn from_machine(machine: Discv5<I>, local: Arc<Mutex<LocalRecord>>) -> (Self, Handle) {
        let ((commands, inbox), rings) = (commands(), Rings::new());
        let local = SharedRecord::new(local);
        let handle = Handle::new(commands, rings.clone(), local.clone());
        let service = Self {
            machine,
            local,
            inbox,
            queries: BTreeMap::new(),
            talks: BTreeMap::new(),
            is_alone: false,
            timer: Timer::default(),
            rings,
            receive_errors: 0,
            send_errors: 0,
            ended: false,
        };
        (service, handle)
    }

    /// Has it claim every datagram, where there is nobody else on the socket: what is no packet of
    /// this protocol is counted, too.
    #[must_use]
    pub const fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// The machine.
    pub const fn machine(&self) -> &Discv5<I> {
        &self.machine
    }

    /// What was counted since the start.
    pub fn statistics(&self) -> ServiceStatistics {
        ServiceStatistics {
            machine: self.machine.statistics().clone(),
            receive_errors: self.receive_errors,
            send_errors: self.send_errors,
            usage: self.machine.usage(),
        }
    }

    /// Gives the machine the record that is to be shown, if it has an older one.
    fn refresh_record(&mut self) {
        if let Some(record) = self.local.changed() {
            self.machine.set_record(record);
        }
    }

    /// Tells what the machine has to tell, up to the next datagram.
    fn drain(&mut self) -> Option<Transmit> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Event(event) => self.handle_event(event),
                Output::Transmit(transmit) => return Some(transmit),
            }
        }
        None
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Enr { query, record } => {
                if let Some(Query::Enr(answer)) = self.queries.remove(&query) {
                    answer.give(Ok(record));
                }
            }
            Event::Failed { query, error } => {
                if let Some(query) = self.queries.remove(&query) {
                    query.fail(error);
                }
            }
            Event::Forget(id) => self.rings.rows.push(Row::Forget(id)),
            Event::LookupDone { query, nodes } => match self.queries.remove(&query) {
                Some(Query::Lookup(answer)) => answer.give(Ok(nodes)),
                Some(Query::RandomLookup(answers)) => {
                    for answer in answers {
                        answer.give(Ok(nodes.clone()));
                    }
                }
                _ => {}
            },
            Event::LookupNode { query, node } => {
                if let Some(Query::Lookup(answer)) = self.queries.get(&query) {
                    answer.tell(node);
                }
            }
            Event::Nodes { query, nodes } => {
                if let Some(Query::FindNode(answer)) = self.queries.remove(&query) {
                    answer.give(Ok(nodes));
                }
            }
            Event::Pong { query, rtt, .. } => {
                if let Some(Query::Ping(answer)) = self.queries.remove(&query) {
                    answer.give(Ok(rtt));
                }
            }
            Event::Remember(seed) => self.rings.rows.push(Row::Remember(seed)),
            Event::Resolved { query, node } => {
                if let Some(Query::Resolve(answer)) = self.queries.remove(&query) {
                    answer.give(Ok(node));
                }
            }
            Event::TalkRequest { talk, id, endpoint, protocol, request } => {
                self.ask_user(Asked { talk, id, endpoint, protocol, request });
            }
            Event::TalkResponse { query, response } => {
                if let Some(Query::Talk(answer)) = self.queries.remove(&query) {
                    answer.give(Ok(response));
                }
            }
            Event::Vote { voter, endpoint } => {
                self.local.vote(clock::now(), voter, endpoint);
                self.rings.events.push(event);
            }
            Event::NodeRemoved(_)
            | Event::NodeVerified(_)
            | Event::RequestTimeout { .. }
            | Event::SessionEstablished { .. }
            | Event::Sighting { .. } => self.rings.events.push(event),
        }
    }

    /// Gives a request to whoever answers its protocol.
    fn ask_user(&mut self, asked: Asked) {
        let talk = asked.talk;
        let user = self.talks.get(&asked.protocol);
        if user.is_none_or(|user| user.try_send(asked).is_err()) {
            // Too many wait to be read, or nobody is left to read them. What comes too late for an
            // answer has had one.
            let _ = self.machine.respond(clock::now(), talk, Bytes::new());
        }
    }

    /// Returns whether there was anything to cancel.
    fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> bool {
        if self.inbox.poll_cancelled(cx).is_pending() {
            return false;
        }
        let (now, machine) = (clock::now(), &mut self.machine);
        self.queries.retain(|&id, query| {
            let wanted = query.is_wanted();
            if !wanted {
                machine.cancel(now, id);
            }
            wanted
        });
        self.talks.retain(|protocol, user| {
            let wanted = !user.is_closed();
            if !wanted {
                machine.unregister_talk(protocol);
            }
            wanted
        });
        true
    }

    /// Returns whether there was a command.
    fn poll_command(&mut self, cx: &mut Context<'_>) -> bool {
        match self.inbox.poll_command(cx) {
            Poll::Pending => return false,
            Poll::Ready(None) => self.end(),
            Poll::Ready(Some(command)) if command.is_abandoned() => {}
            Poll::Ready(Some(command)) => self.handle_command(command),
        }
        true
    }

    fn handle_command(&mut self, command: Command) {
        let (now, machine) = (clock::now(), &mut self.machine);
        let (id, query) = match command {
            Command::FindNode(node, distances, answer) => {
                (machine.find_node(now, &node, distances), Query::FindNode(answer))
            }
            Command::Lookup(target, answer) => (machine.lookup(now, target), Query::Lookup(answer)),
            Command::LookupWhere(target, limit, predicate, answer) => {
                (machine.lookup_where(now, target, limit, predicate), Query::Lookup(answer))
            }
            Command::Ping(node, answer) => (machine.ping(now, &node), Query::Ping(answer)),
            Command::RandomLookup(answer) => return self.random_lookup(now, answer),
            Command::RequestEnr(node, answer) => {
                (machine.request_enr(now, &node), Query::Enr(answer))
            }
            Command::Resolve(id, answer) => (machine.resolve(now, id), Query::Resolve(answer)),
            Command::Talk(node, protocol, request, answer) => {
                (machine.talk(now, &node, protocol, request), Query::Talk(answer))
            }
            Command::AddBootstrapNode(node) => return machine.add_bootstrap_node(now, node),
            Command::AddNode(node) => return machine.add_node(now, node),
            Command::Close => return self.end(),
            Command::RegisterTalk(protocol, user) => {
                machine.register_talk(protocol.clone());
                self.talks.insert(protocol, user);
                return;
            }
            Command::Respond(talk, response, answer) => {
                return answer.give(machine.respond(now, talk, response).map_err(Into::into));
            }
            Command::Statistics(answer) => return answer.give(Ok(self.statistics())),
            Command::Table(answer) => return answer.give(Ok(table_info(now, machine.table()))),
            Command::NodesToMeet(found, answer) => {
                return answer.give(Ok(machine.nodes_to_meet(found)));
            }
        };
        self.queries.insert(id, query);
    }

    /// Has everybody who asks for a random lookup wait for the same one.
    fn random_lookup(&mut self, now: Instant, answer: Answer<Vec<Node>, QueryError>) {
        let running = self.queries.values_mut().find_map(|query| match query {
            Query::RandomLookup(answers) => Some(answers),
            _ => None,
        });
        match running {
            Some(answers) if answers.len() >= MAX_SHARERS => {
                answer.give(Err(RequestError::Busy.into()))
            }
            Some(answers) => answers.push(answer),
            None => {
                let id = self.machine.lookup_random(now);
                self.queries.insert(id, Query::RandomLookup(vec![answer]));
            }
        }
    }

    /// Returns whether the timer has fired.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        if self.timer.poll(cx, self.machine.poll_timeout()).is_pending() {
            return false;
        }
        self.machine.handle_timeout(clock::now());
        true
    }

    /// Everybody who waits is told that this is over.
    fn end(&mut self) {
        self.ended = true;
        self.inbox.close();
        self.queries.clear();
        self.talks.clear();
        self.rings.close();
    }
}

impl<I: Identity + Send + 'static> DatagramService for Service<I> {
    /// Those whose header is one of this protocol to us, or all if it is
    /// [alone](Self::alone).
    fn claims(&self, datagram: &[u8]) -> bool {
        self.is_alone || self.machine.claims(datagram)
    }

    fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if !self.ended {
            // The answer may tell our record.
            self.refresh_record();
            self.machine.handle_datagram(now, from, datagram);
        }
    }

    fn handle_wall_clock(&mut self, wall_clock: WallClock) {
        self.machine.handle_wall_clock(wall_clock);
    }

    fn handle_receive_error(&mut self) {
        self.receive_errors = self.receive_errors.saturating_add(1);
    }

    fn handle_send_error(&mut self) {
        self.send_errors = self.send_errors.saturating_add(1);
    }

    /// Does all that there is to do, in this order, again and again until nothing moves: hands out
    /// what is sealed and tells what happened, cancels what nobody waits for any more, takes
    /// commands, and fires the timer.
    fn poll_transmit(&mut self, cx: &mut Context<'_>) -> Poll<Option<Transmit>> {
        while !self.ended {
            self.refresh_record();
            if let Some(transmit) = self.drain() {
                return Poll::Ready(Some(transmit));
            }
            if !self.poll_cancelled(cx) && !self.poll_command(cx) && !self.poll_timer(cx) {
                return Poll::Pending;
            }
        }
        Poll::Ready(None)
    }
}

impl<I: Identity + Send + 'static> Drop for Service<I> {
    fn drop(&mut self) {
        self.end();
    }
}

impl Query {
    fn fail(self, error: RequestError) {
        let error = QueryError::Request(error);
        match self {
            Self::Enr(answer) => answer.give(Err(error)),
            Self::FindNode(answer) => answer.give(Err(error)),
            Self::Lookup(answer) => answer.give(Err(error)),
            Self::Ping(answer) => answer.give(Err(error)),
            Self::RandomLookup(answers) => {
                for answer in answers {
                    answer.give(Err(error));
                }
            }
            Self::Resolve(answer) => answer.give(Err(error)),
            Self::Talk(answer) => answer.give(Err(error)),
        }
    }

    /// Whether anybody still waits for it.
    fn is_wanted(&mut self) -> bool {
        match self {
            Self::Enr(answer) => !answer.is_abandoned(),
            Self::FindNode(answer) => !answer.is_abandoned(),
            Self::Lookup(answer) => !answer.is_abandoned(),
            Self::Ping(answer) => !answer.is_abandoned(),
            Self::RandomLookup(answers) => {
                answers.retain(|answer| !answer.is_abandoned());
                !answers.is_empty()
            }
            Self::Resolve(answer) => !answer.is_abandoned(),
            Self::Talk(answer) => !answer.is_abandoned(),
        }
    }
}

impl<I: Identity + Send + 'static> fmt::Debug for Service<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("machine", &self.machine)
            .field("queries", &self.queries.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
