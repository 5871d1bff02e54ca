//! A network of discovery v5 of all four implementations.

use std::{fmt, time::Duration};

use devp2p_core::{Node, NodeId, Record};
use devp2p_interop::{Discv5Options, Discv5Program, ForeignDiscv5, OurDiscv5};
use futures::future::join_all;

/// How many nodes there are of each implementation.
const OF_EACH: usize = 3;

/// How often a lookup is made that does not find its target: at first hardly anybody knows anybody.
const ATTEMPTS: u32 = 40;
const RETRY: Duration = Duration::from_millis(250);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_nodes_of_four_implementations_find_one_another() {
    let programs = Discv5Program::all();
    // The bootnode is of each implementation once. Of ours, where there is no other.
    for boot in programs.iter().copied().map(Some).chain([None]) {
        let mut members = network(&programs, boot).await;
        let ids: Vec<_> = members.iter().map(Member::id).collect();
        join_all(members.iter_mut().map(|member| member.finds(&ids))).await;
        for member in &mut members {
            if let Member::Foreign(foreign) = member {
                assert_eq!(foreign.bad_packets(), Vec::<String>::new());
            }
        }
    }
}

enum Member {
    Foreign(Box<ForeignDiscv5>),
    Ours(Box<OurDiscv5>),
}

/// A bootnode of this implementation, and all others, which know nobody else.
async fn network(programs: &[Discv5Program], boot: Option<Discv5Program>) -> Vec<Member> {
    let first = Member::start(boot, Vec::new()).await;
    let mut kinds: Vec<_> = programs.iter().copied().map(Some).chain([None]).collect();
    kinds = kinds.repeat(OF_EACH);
    let at = kinds.iter().position(|kind| name(*kind) == name(boot)).unwrap();
    kinds.remove(at);
    let record = first.record();
    let others = kinds.into_iter().map(|kind| Member::start(kind, vec![record.clone()]));
    let mut members = join_all(others).await;
    members.push(first);
    members
}

/// Ours is the one that is no program.
fn name(kind: Option<Discv5Program>) -> &'static str {
    kind.map_or("ours", Discv5Program::name)
}

impl Member {
    async fn start(kind: Option<Discv5Program>, bootnodes: Vec<Record>) -> Self {
        let options = Discv5Options { bootnodes, ..Discv5Options::default() };
        match kind {
            Some(program) => Self::Foreign(Box::new(program.start(options).await)),
            None => {
                Self::Ours(Box::new(OurDiscv5::start(options.listen, &options.bootnodes).await))
            }
        }
    }

    fn id(&self) -> NodeId {
        match self {
            Self::Foreign(foreign) => foreign.id(),
            Self::Ours(ours) => ours.id(),
        }
    }

    fn record(&self) -> Record {
        match self {
            Self::Foreign(foreign) => foreign.first_record(),
            Self::Ours(ours) => ours.record(),
        }
    }

    /// Looks each of these nodes up, until it finds it.
    async fn finds(&mut self, ids: &[NodeId]) {
        let own = self.id();
        for id in ids.iter().filter(|id| **id != own) {
            let mut attempts = 0;
            while !self.look_up(*id).await.contains(id) {
                attempts += 1;
                assert!(attempts < ATTEMPTS, "{self:?} does not find {id:#}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn look_up(&mut self, target: NodeId) -> Vec<NodeId> {
        match self {
            Self::Foreign(foreign) => {
                foreign.lookup(target).await.unwrap().iter().map(Record::id).collect()
            }
            Self::Ours(ours) => {
                let found = ours.handle.lookup(target).await.unwrap();
                found.iter().map(Node::id).collect()
            }
        }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(foreign) => write!(f, "{} ", foreign.program().name())?,
            Self::Ours(_) => write!(f, "ours ")?,
        }
        write!(f, "{:#}", self.id())
    }
}
