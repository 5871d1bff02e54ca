//! What a server remembers across restarts, and when it is told.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use devp2p_core::NodeId;
use devp2p_peer::{Capability, Peer, ProtocolError, ProtocolStream, Subprotocol};
use devp2p_server::{
    BanError, Builder, MemoryNodeDb, NodeDb, NodeDbError, NodeList, Remembered, Row, Server,
    StartError,
};
use futures::{StreamExt as _, future::BoxFuture};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};

use self::support::{Listening, id, ip, key, links::Links, node, server, wait_for_peers};

/// What happened, in its order.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A database that writes down what it is asked for.
#[derive(Clone, Default)]
struct Recording {
    inner: MemoryNodeDb,
    log: Log,
}

impl NodeDb for Recording {
    fn open(&self, local: NodeId, now: u64) -> BoxFuture<'static, Result<Remembered, NodeDbError>> {
        self.log.add("open");
        self.inner.open(local, now)
    }

    fn write(&self, row: Row) {
        self.log.add(match &row {
            Row::Anchors(anchors) => format!("{} anchors", anchors.len()),
            Row::Bans(bans) => format!("{} bans", bans.len()),
            Row::LocalSeq(_) => "seq".to_owned(),
            other => format!("{other:?}"),
        });
        self.inner.write(row);
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.log.add("close");
        self.inner.close()
    }
}

/// Says when its peers are gone.
struct Leaving(Log);

impl Subprotocol for Leaving {
    fn capability(&self) -> Capability {
        Capability::new("test", 1)
    }

    fn length(&self) -> u64 {
        4
    }

    async fn run(&self, _: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        while stream.next().await.is_some() {}
        self.0.add("peer gone");
        Ok(())
    }
}

fn remembering(links: &Links, db: &MemoryNodeDb) -> Builder {
    server(links, 1).node_db(db.clone())
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_restarted_dials_its_good_peers_first() {
    let links = Links::immediate();
    let db = MemoryNodeDb::new();
    let mut others = Vec::new();
    for n in 2..5 {
        others.push(server(&links, n).start().await.unwrap());
    }
    let known = NodeList::new([node(2), node(3), node(4)]);
    let first = remembering(&links, &db).discovery(known).start().await.unwrap();
    wait_for_peers(&first, 3).await;
    sleep(Duration::from_secs(61)).await;
    first.stop().await;

    // Nobody tells it of any node now.
    let second = remembering(&links, &db).start().await.unwrap();
    wait_for_peers(&second, 3).await;
    second.stop().await;
    for other in others {
        other.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn peers_of_less_than_a_minute_and_those_that_dialed_us_are_not_remembered() {
    let links = Links::immediate();
    let db = MemoryNodeDb::new();
    let one = remembering(&links, &db).start().await.unwrap();
    let inbound = server(&links, 2).static_node(node(1)).start().await.unwrap();
    wait_for_peers(&one, 1).await;
    sleep(Duration::from_hours(1)).await;
    one.stop().await;
    inbound.stop().await;

    let mut two = Listening::new(&links, 2);
    let three = server(&links, 3).start().await.unwrap();
    let source = NodeList::new([node(3)]);
    let again = remembering(&links, &db).discovery(source).start().await.unwrap();
    wait_for_peers(&again, 1).await;
    sleep(Duration::from_secs(50)).await;
    again.stop().await;
    three.stop().await;

    let mut three = Listening::new(&links, 3);
    let again = remembering(&links, &db).start().await.unwrap();
    assert!(two.is_left_alone().await && three.is_left_alone().await);
    again.stop().await;
}

#[tokio::test(start_paused = true)]
async fn anchors_are_remembered_before_the_stop_and_not_forgotten_without_new_ones() {
    let links = Links::immediate();
    let db = Recording::default();
    let other = server(&links, 2).start().await.unwrap();
    let source = NodeList::new([node(2)]);
    let one = server(&links, 1).node_db(db.clone()).discovery(source).start().await.unwrap();
    wait_for_peers(&one, 1).await;
    sleep(Duration::from_mins(6)).await;
    // As a crash would find it.
    assert_eq!(db.log.lines(), ["open", "seq", "1 anchors"]);
    one.stop().await;
    other.stop().await;

    // The other one is away: this run has nothing good to remember.
    let two = server(&links, 1).node_db(db.clone()).start().await.unwrap();
    sleep(Duration::from_hours(1)).await;
    two.stop().await;
    let other = server(&links, 2).start().await.unwrap();
    let three = server(&links, 1).node_db(db).start().await.unwrap();
    wait_for_peers(&three, 1).await;
    three.stop().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_new_peer_does_not_erase_the_anchors_of_before() {
    let links = Links::immediate();
    let db = MemoryNodeDb::new();
    let _nothing = db.open(id(1), 0).await.unwrap();
    db.write(Row::Anchors([2, 3, 4, 5].map(node).to_vec()));
    db.close().await;
    let other = server(&links, 6).start().await.unwrap();
    let source = NodeList::new([node(6)]);
    let one = remembering(&links, &db).discovery(source).start().await.unwrap();
    wait_for_peers(&one, 1).await;
    sleep(Duration::from_secs(61)).await;
    one.stop().await;
    other.stop().await;
    let anchors = db.open(id(1), 0).await.unwrap().anchors;
    assert_eq!(anchors.len(), 4);
    assert_eq!(anchors[0], node(6));
    assert!(anchors[1..].iter().all(|anchor| [2, 3, 4, 5].map(node).contains(anchor)));
}

#[tokio::test(start_paused = true)]
async fn the_number_of_the_record_rises_with_every_start() {
    let links = Links::immediate();
    let db = MemoryNodeDb::new();
    let mut last = 0;
    for _ in 0..5 {
        let server = remembering(&links, &db).start().await.unwrap();
        let seq = server.node_info().enr.seq();
        assert!(seq > last, "{seq} after {last}");
        last = seq;
        server.stop().await;
    }

    // The clock was set back a hundred years.
    let future = last + 100 * 365 * 24 * 60 * 60 * 1_000;
    let _remembered = db.open(id(1), 0).await.unwrap();
    db.write(Row::LocalSeq(future));
    db.close().await;
    let server = remembering(&links, &db).start().await.unwrap();
    assert!(server.node_info().enr.seq() > future);
    server.stop().await;

    // What cannot be a number does not keep the node from starting.
    let _remembered = db.open(id(1), 0).await.unwrap();
    db.write(Row::LocalSeq(u64::MAX));
    db.close().await;
    let server = remembering(&links, &db).start().await.unwrap();
    assert!(server.node_info().enr.seq() < future, "it starts at the clock");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_database_is_opened_first_and_closed_last() {
    let links = Links::immediate();
    let db = Recording::default();
    let one = server(&links, 1)
        .configure(|config| config.protocols.clear())
        .protocol(Leaving(db.log.clone()))
        .node_db(db.clone());
    let one = one.discovery(NodeList::new([node(2)])).start().await.unwrap();
    let other = server(&links, 2).start().await.unwrap();
    wait_for_peers(&one, 1).await;
    sleep(Duration::from_secs(61)).await;
    one.stop().await;
    assert_eq!(db.log.lines(), ["open", "seq", "1 anchors", "peer gone", "close"]);
    other.stop().await;
}

/// A database that somebody else has open.
struct InUse;

impl NodeDb for InUse {
    fn open(&self, _: NodeId, _: u64) -> BoxFuture<'static, Result<Remembered, NodeDbError>> {
        Box::pin(std::future::ready(Err(NodeDbError::InUse)))
    }

    fn write(&self, _: Row) {}

    fn close(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_an_error_that_leaves_nothing_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let result = Server::builder(key(1)).listen_addr(address).node_db(InUse).start().await;
    match result {
        Err(StartError::NodeDb(NodeDbError::InUse)) => {}
        other => panic!("{other:?}"),
    }
    let _free = TcpListener::bind(address).await.unwrap();
}

#[tokio::test]
async fn a_start_that_fails_closes_the_database() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = taken.local_addr().unwrap();
    let db = Recording::default();
    let result = Server::builder(key(1)).listen_addr(address).node_db(db.clone()).start().await;
    match result {
        Err(StartError::Listen { error, .. }) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
        other => panic!("{other:?}"),
    }
    assert_eq!(db.log.lines(), ["open", "close"]);
}

#[tokio::test(start_paused = true)]
async fn anchors_are_not_dialed_where_nobody_is() {
    let links = Links::immediate();
    let db = MemoryNodeDb::new();
    let _remembered = db.open(id(1), 0).await.unwrap();
    db.write(Row::Anchors(vec![node(2)]));
    db.close().await;
    let mut anchor = Listening::new(&links, 2);
    let no_dial = remembering(&links, &db).configure(|config| config.no_dial = true);
    let server = no_dial.start().await.unwrap();
    assert!(anchor.is_left_alone().await);
    server.stop().await;
    let server = remembering(&links, &db).start().await.unwrap();
    let _dialed = anchor.accept().await;
    server.stop().await;
}

#[test]
fn a_runtime_that_goes_closes_the_database() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let db = Recording::default();
    let starting = Server::builder(key(1)).listen_addr(None).node_db(db.clone()).start();
    let handle = runtime.block_on(starting).unwrap();
    drop(runtime);
    assert_eq!(db.log.lines(), ["open", "seq", "close"]);
    // It was told before those who wait for the stop.
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(handle.stopped());
}

/// A database whose disk does not answer any more.
struct Stuck;

impl NodeDb for Stuck {
    fn open(&self, _: NodeId, _: u64) -> BoxFuture<'static, Result<Remembered, NodeDbError>> {
        Box::pin(std::future::ready(Ok(Remembered::default())))
    }

    fn write(&self, _: Row) {}

    fn close(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_does_not_close_does_not_hold_up_the_stop() {
    let links = Links::immediate();
    let server = server(&links, 1).node_db(Stuck).start().await.unwrap();
    timeout(Duration::from_secs(12), server.stop()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bans_hold_at_once_and_after_a_restart() {
    let links = Links::immediate();
    let db = Recording::default();
    let two = server(&links, 2).static_node(node(1)).start().await.unwrap();
    let three = server(&links, 3).start().await.unwrap();
    let start = || server(&links, 1).node_db(db.clone()).static_node(node(3)).start();
    let one = start().await.unwrap();
    wait_for_peers(&one, 2).await;
    one.ban(id(2), Some(Duration::from_hours(1))).unwrap();
    one.ban(ip(3), None).unwrap();
    wait_for_peers(&one, 0).await;
    sleep(Duration::from_mins(10)).await;
    assert_eq!((one.peer_count(), one.bans().len()), (0, 2), "neither comes back");
    one.stop().await;
    assert!(db.log.lines().contains(&"2 bans".to_owned()));

    let one = start().await.unwrap();
    assert_eq!(one.bans().len(), 2);
    sleep(Duration::from_mins(10)).await;
    assert_eq!(one.peer_count(), 0);
    assert!(one.unban(ip(3)), "it is a static node, and wanted again");
    sleep(Duration::from_mins(5)).await;
    assert_eq!(one.peers().iter().map(|peer| peer.id).collect::<Vec<_>>(), [id(3)]);
    assert!(one.unban(id(2)));
    sleep(Duration::from_mins(5)).await;
    assert_eq!((one.peer_count(), one.bans().len()), (2, 0));
    assert_eq!(one.ban(id(1), None), Err(BanError::OwnId));
    for server in [one, two, three] {
        server.stop().await;
    }
}
