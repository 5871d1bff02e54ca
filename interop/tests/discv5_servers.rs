//! A network on discovery v5 alone: servers of go-ethereum and ours, which know one node to begin
//! with. A node of sigp and one of chainsafe are among them, which listen on no TCP port.

use std::time::Duration;

use devp2p_core::{Node, Record};
use devp2p_interop::{
    Discv5Options, Discv5Program, Event as ForeignEvent, Foreign, ForeignDiscv5, Geth, Ours,
};
use devp2p_server::{Event, Events};
use futures::future::join_all;
use tokio::time::timeout;

/// How many servers there are of geth, and of ours.
const OF_EACH: usize = 6;

/// The sessions that every server must have at least.
const SESSIONS: usize = 4;

/// How long the network may take to come together: geth's table asks one of its nodes every 3 s at
/// most whether it is there, and names no other.
const DEADLINE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn servers_have_sessions_by_discovery_v5_alone() {
    let Some(geth) = devp2p_interop::geth() else { return };
    for is_ours in [true, false] {
        let boot = Member::start(geth, is_ours, &[]).await;
        let bootnodes = [boot.record()];
        let others = (0..2 * OF_EACH - 1).map(|at| {
            // The bootnode is of one kind, so there is one more of the other.
            Member::start(geth, (at < OF_EACH) != is_ours, &bootnodes)
        });
        let mut members = join_all(others).await;
        members.push(boot);
        let _without_tcp: Vec<ForeignDiscv5> = without_tcp(&bootnodes).await;
        if timeout(DEADLINE, join_all(members.iter_mut().map(Member::has_sessions))).await.is_err()
        {
            let sessions = join_all(members.iter_mut().map(Member::sessions)).await;
            panic!("not everybody has sessions: {sessions:?}");
        }
    }
}

async fn without_tcp(bootnodes: &[Record]) -> Vec<ForeignDiscv5> {
    let others = Discv5Program::all()
        .into_iter()
        .filter(|program| !matches!(program, Discv5Program::Geth(_)));
    let options = Discv5Options { bootnodes: bootnodes.to_vec(), ..Discv5Options::default() };
    let mut started = join_all(others.map(|program| program.start(options.clone()))).await;
    for node in &mut started {
        // They ask nobody of their own accord.
        node.lookup(node.id()).await.unwrap();
    }
    started
}

enum Member {
    Geth(Box<Foreign>),
    Ours(Box<Ours>, Events),
}

impl Member {
    async fn start(geth: &Geth, is_ours: bool, bootnodes: &[Record]) -> Self {
        if is_ours {
            let nodes = bootnodes.iter().cloned().map(Node::from_record);
            let server = Ours::start(|server| {
                server.configure(|config| {
                    config.discovery_v4 = false;
                    config.bootstrap_nodes_v5.extend(nodes);
                })
            })
            .await;
            assert!(server.handle.discv4().is_none());
            let events = server.handle.events();
            return Self::Ours(Box::new(server), events);
        }
        let records: Vec<_> = bootnodes.iter().map(Record::to_string).collect();
        let mut flags = vec!["-discv5"];
        flags.extend(records.iter().flat_map(|record| ["-bootnode", record]));
        Self::Geth(Box::new(geth.server(&flags).await))
    }

    fn record(&self) -> Record {
        match self {
            Self::Geth(geth) => geth.record().unwrap().clone(),
            Self::Ours(ours, _) => ours.handle.node_info().enr,
        }
    }

    async fn sessions(&mut self) -> usize {
        match self {
            Self::Geth(geth) => geth.peer_count().await,
            Self::Ours(ours, _) => ours.handle.peer_count(),
        }
    }

    async fn has_sessions(&mut self) {
        while self.sessions().await < SESSIONS {
            match self {
                Self::Geth(geth) => {
                    let began = |event: &ForeignEvent| {
                        matches!(event, ForeignEvent::PeerAdd { .. }).then_some(())
                    };
                    geth.expect_within("a session", DEADLINE, began).await;
                }
                Self::Ours(_, events) => {
                    let changed = |event: &_| matches!(event, Event::Add(_) | Event::Missed(_));
                    while !changed(&events.next().await.unwrap()) {}
                }
            }
        }
    }
}
