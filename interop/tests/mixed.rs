//! A network of go-ethereum's servers, ethereumjs and ours, in which everybody knows one node to
//! begin with.
//!
//! All have their defaults but for ethereumjs, which asks its table for nodes every 2 s instead of
//! every minute (`--refresh`), and pings its bootnode again then. By itself it pings a node once: if
//! it is busy and answers the node's own PING too late, its endpoint is never proved, and neither
//! geth nor we answer its questions. The programs around the libraries allow 50 peers at geth, which
//! dials 16 of them, and 10 at ethereumjs. Nobody limits nodes by address on loopback.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use data_encoding::HEXLOWER;
use devp2p_core::{Node, NodeId, NodeKey};
use devp2p_discv4::Event as DiscoveryEvent;
use devp2p_interop::{Event as ForeignEvent, Foreign, Geth, Npm, Ours};
use devp2p_server::Event;
use futures::future::{join_all, select_all};
use tokio::time::timeout;

const MEMBERS: [(Kind, usize); 3] = [(Kind::Geth, 4), (Kind::EthereumJs, 2), (Kind::Ours, 6)];

/// The sessions that everybody must have at least.
const SESSIONS: usize = 4;

/// How long the network may take to come together. Half of this is geth's table, which asks one of
/// its nodes every 3 s at most whether it is there, and names no other.
const DEADLINE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_bootnode_of_geths_brings_servers_together() {
    comes_together_around(Kind::Geth).await;
}

#[tokio::test]
async fn a_bootnode_of_ours_brings_servers_together() {
    comes_together_around(Kind::Ours).await;
}

async fn comes_together_around(bootnode: Kind) {
    let (Some(geth), Some(ethereumjs)) = (devp2p_interop::geth(), devp2p_interop::ethereumjs())
    else {
        return;
    };
    let mut network = Network::start(Programs { geth, ethereumjs }, bootnode).await;
    network.has_sessions().await;
    let everybody = network.members.iter().map(Member::id).collect::<Vec<_>>();
    network.know(&everybody, |_| true).await;

    // ethereumjs keeps a node at the endpoint where it first met it, for good: its own table tells
    // nothing of who has come back. It answers whoever comes to it.
    let restarted = network.restart_one_of_each().await;
    network.has_sessions().await;
    let stayed = |member: &Member| !restarted.contains(&member.id());
    network.know(&restarted, |member| stayed(member) && member.kind != Kind::EthereumJs).await;
    network.resolve(&restarted).await;
    network.geth_reads_all_of_ours();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Geth,
    EthereumJs,
    Ours,
}

/// A node of the network.
struct Member {
    kind: Kind,
    key: NodeKey,
    running: Running,
}

enum Running {
    Foreign(Box<Foreign>),
    Ours(Box<OurServer>),
}

struct OurServer {
    server: Ours,
    discovery: devp2p_discv4::Handle,
    events: devp2p_server::Events,
    discovered: devp2p_discv4::Events,
}

#[derive(Clone, Copy)]
struct Programs {
    geth: &'static Geth,
    ethereumjs: &'static Npm,
}

impl Programs {
    async fn start(self, kind: Kind, key: NodeKey, bootnode: Option<&Node>) -> Member {
        let secret = HEXLOWER.encode(&*key.to_bytes());
        let url = bootnode.map(Node::to_enode);
        let running = match kind {
            Kind::Geth => {
                let mut flags = vec!["-discv4", "-key", &secret];
                flags.extend(url.iter().flat_map(|url| ["-bootnode", url]));
                Running::Foreign(Box::new(self.geth.server(&flags).await))
            }
            Kind::EthereumJs => {
                let mut flags = vec!["--discv4", "--dial", "--refresh", "2000", "--key", &secret];
                flags.extend(url.iter().flat_map(|url| ["--bootnode", url]));
                Running::Foreign(Box::new(self.ethereumjs.peer(&flags).await))
            }
            Kind::Ours => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let server = Ours::start_at(key.clone(), address, |server| {
                    server.configure(|config| config.bootstrap_nodes.extend(bootnode.cloned()))
                })
                .await;
                let discovery = server.handle.discv4().unwrap();
                let (events, discovered) = (server.handle.events(), discovery.events());
                Running::Ours(Box::new(OurServer { server, discovery, events, discovered }))
            }
        };
        Member { kind, key, running }
    }
}

struct Network {
    programs: Programs,
    bootnode: Node,
    members: Vec<Member>,
}

impl Network {
    /// Starts the bootnode, and then all others at once.
    async fn start(programs: Programs, bootnode: Kind) -> Self {
        let boot = programs.start(bootnode, NodeKey::generate().unwrap(), None).await;
        let url = boot.node();
        let kinds = MEMBERS.into_iter().flat_map(|(kind, count)| {
            std::iter::repeat_n(kind, count - usize::from(kind == bootnode))
        });
        let mut members = join_all(
            kinds.map(|kind| programs.start(kind, NodeKey::generate().unwrap(), Some(&url))),
        )
        .await;
        members.push(boot);
        Self { programs, bootnode: url, members }
    }

    /// One of each implementation goes and comes back at another port.
    async fn restart_one_of_each(&mut self) -> Vec<NodeId> {
        let mut restarted = Vec::new();
        for (kind, _) in MEMBERS {
            let is_it = |member: &Member| member.kind == kind && member.id() != self.bootnode.id();
            let at = self.members.iter().position(is_it).unwrap();
            let member = self.members.swap_remove(at);
            let (key, old) = (member.key.clone(), member.endpoint());
            member.stop().await;
            let again = self.programs.start(kind, key, Some(&self.bootnode)).await;
            assert_ne!(again.endpoint(), old);
            restarted.push(again.id());
            self.members.push(again);
        }
        restarted
    }

    /// Waits until everybody has its sessions.
    async fn has_sessions(&mut self) {
        let all = join_all(self.members.iter_mut().map(Member::has_sessions));
        if timeout(DEADLINE, all).await.is_err() {
            panic!("not everybody has sessions:\n{}", self.report().await);
        }
    }

    /// Waits until each of these nodes is, where it is now, in the table of one of these members at
    /// least of each implementation.
    async fn know(&mut self, nodes: &[NodeId], by: impl Fn(&Member) -> bool) {
        let known = async {
            while !self.is_known(nodes, &by).await {
                let met = self.members.iter_mut().map(|member| Box::pin(member.meets_a_node()));
                select_all(met).await;
            }
        };
        if timeout(DEADLINE, known).await.is_err() {
            panic!("not everybody is known:\n{}", self.report().await);
        }
    }

    async fn is_known(&mut self, nodes: &[NodeId], by: impl Fn(&Member) -> bool) -> bool {
        let endpoints = self.endpoints();
        let mut unknown: Vec<_> = MEMBERS
            .into_iter()
            .filter(|(kind, _)| self.members.iter().any(|it| it.kind == *kind && by(it)))
            .flat_map(|(kind, _)| nodes.iter().map(move |id| (kind, *id)))
            .collect();
        for member in self.members.iter_mut().filter(|member| by(member)) {
            let (kind, own, table) = (member.kind, member.id(), member.table().await);
            unknown
                .retain(|(of, id)| *of != kind || *id == own || table.get(id) != endpoints.get(id));
        }
        unknown.is_empty()
    }

    /// Those of ours that have not been restarted find these nodes where they are now.
    async fn resolve(&mut self, nodes: &[NodeId]) {
        let (restarted, stayed): (Vec<_>, Vec<_>) =
            self.members.iter().partition(|member| nodes.contains(&member.id()));
        for member in stayed {
            let Running::Ours(ours) = &member.running else { continue };
            for node in restarted.iter().map(|member| member.node()) {
                let found = ours.discovery.resolve(node.public_key()).await.unwrap();
                assert_eq!(found.unwrap().udp_addr(), node.udp_addr());
            }
        }
    }

    /// No packet of ours was worth nothing to geth.
    fn geth_reads_all_of_ours(&mut self) {
        // It may ping twice in a second, with the same packet. The first answer is to both then.
        let needless = "unsolicited reply";
        let of_ours = self.members.iter().filter(|member| member.kind == Kind::Ours);
        let ours: Vec<_> = of_ours.map(|member| member.endpoint().to_string()).collect();
        for member in &mut self.members {
            let Running::Foreign(foreign) = &mut member.running else { continue };
            let bad = foreign.seen(|event| match event {
                ForeignEvent::BadPacket { addr, error } => {
                    (ours.contains(addr) && error != needless).then(|| error.clone())
                }
                _ => None,
            });
            assert_eq!(bad, Vec::<String>::new());
        }
    }

    fn endpoints(&self) -> BTreeMap<NodeId, SocketAddr> {
        self.members.iter().map(|member| (member.id(), member.endpoint())).collect()
    }

    /// Who has how many sessions, and whom in its table: "x", or "o" where that one no longer is.
    async fn report(&mut self) -> String {
        let endpoints = self.endpoints();
        let order: Vec<_> = self.members.iter().map(Member::id).collect();
        let mut report = String::new();
        for member in &mut self.members {
            let (sessions, table) = (member.sessions().await, member.table().await);
            let mark = |id| match table.get(id) {
                None => '.',
                at if at == endpoints.get(id) => 'x',
                Some(_) => 'o',
            };
            let table: String = order.iter().map(mark).collect();
            let _ = writeln!(report, "{:?}: {sessions} sessions, {table}", member.kind);
        }
        report
    }
}

impl Member {
    fn id(&self) -> NodeId {
        self.key.id()
    }

    fn node(&self) -> Node {
        match &self.running {
            Running::Foreign(foreign) => foreign.node().clone(),
            Running::Ours(ours) => ours.server.node(),
        }
    }

    fn endpoint(&self) -> SocketAddr {
        self.node().udp_addr().unwrap()
    }

    /// The nodes in its table that have answered it, and where.
    async fn table(&mut self) -> BTreeMap<NodeId, SocketAddr> {
        match &mut self.running {
            Running::Foreign(foreign) => {
                let live = foreign.table().await.into_iter().filter(|known| known.live);
                live.map(|known| (known.id(), known.node().udp_addr().unwrap())).collect()
            }
            Running::Ours(ours) => {
                let table = ours.discovery.table().await.unwrap();
                let verified = table.entries().filter(|entry| entry.is_verified());
                verified.map(|entry| (entry.node.id(), entry.endpoint)).collect()
            }
        }
    }

    async fn sessions(&mut self) -> usize {
        match &mut self.running {
            Running::Foreign(foreign) => foreign.peer_count().await,
            Running::Ours(ours) => ours.server.handle.peer_count(),
        }
    }

    async fn has_sessions(&mut self) {
        while self.sessions().await < SESSIONS {
            match &mut self.running {
                Running::Foreign(foreign) => {
                    let began = |event: &ForeignEvent| {
                        matches!(event, ForeignEvent::PeerAdd { .. }).then_some(())
                    };
                    foreign.expect_within("a session", DEADLINE, began).await;
                }
                Running::Ours(ours) => {
                    let changed = |event: &_| matches!(event, Event::Add(_) | Event::Missed(_));
                    while !changed(&ours.events.next().await.unwrap()) {}
                }
            }
        }
    }

    /// Waits until a node has answered it, from the last call on.
    async fn meets_a_node(&mut self) {
        match &mut self.running {
            Running::Foreign(foreign) => {
                let verified = |event: &ForeignEvent| {
                    matches!(event, ForeignEvent::NodeVerified { .. }).then_some(())
                };
                foreign.expect_within("a node that answers", DEADLINE, verified).await;
            }
            Running::Ours(ours) => {
                let met = |event: &_| matches!(event, Ok(DiscoveryEvent::NodeVerified(_)) | Err(_));
                while !met(&ours.discovered.next().await.unwrap()) {}
            }
        }
    }

    async fn stop(self) {
        match self.running {
            Running::Foreign(foreign) => foreign.stop().await,
            Running::Ours(ours) => ours.server.handle.stop().await,
        }
    }
}
