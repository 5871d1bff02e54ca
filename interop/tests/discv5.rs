//! Our discovery v5 with that of go-ethereum, sigp and chainsafe.

use std::{net::SocketAddr, time::Duration};

use devp2p_core::{Node, NodeId, NodeKey, Record};
use devp2p_discv5::{QueryError, RequestError};
use devp2p_interop::{Discv5Options, Discv5Program, ECHO, ForeignDiscv5, OurDiscv5};

fn loopback(is_v6: bool) -> SocketAddr {
    if is_v6 { "[::1]:0" } else { "127.0.0.1:0" }.parse().unwrap()
}

fn node(record: &Record) -> Node {
    Node::from_record(record.clone())
}

fn node_ids(nodes: &[Node]) -> Vec<NodeId> {
    let mut ids: Vec<_> = nodes.iter().map(Node::id).collect();
    ids.sort();
    ids
}

async fn start(program: Discv5Program, is_v6: bool, bootnodes: &[Record]) -> ForeignDiscv5 {
    let options = Discv5Options { listen: loopback(is_v6), ..Discv5Options::default() };
    program.start(Discv5Options { bootnodes: bootnodes.to_vec(), ..options }).await
}

/// All that we can ask of it.
async fn we_ask(ours: &OurDiscv5, theirs: &Record) {
    let theirs_is = node(theirs);
    let rtt = ours.handle.ping(&theirs_is).await.unwrap();
    assert!(rtt > Duration::ZERO && rtt < Duration::from_millis(500));
    assert_eq!(ours.handle.request_enr(&theirs_is).await.unwrap(), *theirs);
    let found = ours.handle.find_node(&theirs_is, [0]).await.unwrap();
    assert_eq!(node_ids(&found), [theirs.id()]);
    for size in [0, 1, 100, 1_100] {
        let request = vec![7; size];
        let echo = ours.handle.talk(&theirs_is, ECHO, request.clone()).await.unwrap();
        assert_eq!(echo, request);
    }
    assert_eq!(ours.handle.talk(&theirs_is, "unknown", "hello").await.unwrap(), "");
}

/// All that it can ask of us.
async fn they_ask(theirs: &mut ForeignDiscv5, ours: &OurDiscv5) {
    let record = ours.record();
    let name = theirs.program().name();
    let pong = theirs.ping(&record).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!((pong.enr_seq, pong.endpoint()), (record.seq(), theirs.endpoint()));
    assert!(pong.micros < 1_000_000);
    let found = theirs.find_node(&record, &[0]).await.unwrap();
    assert_eq!(found, std::slice::from_ref(&record));
    for size in [0, 1, 100, 1_100] {
        let request = vec![7; size];
        assert_eq!(theirs.talk(&record, ECHO, &request).await.unwrap(), request);
    }
    assert_eq!(theirs.talk(&record, "unknown", b"hello").await.unwrap(), b"");
}

#[tokio::test]
async fn requests_are_answered_both_ways() {
    for program in Discv5Program::all() {
        for is_v6 in [false, true] {
            // Who asks first makes the handshake.
            let mut ours = OurDiscv5::start(loopback(is_v6), &[]).await;
            let mut theirs = start(program, is_v6, &[]).await;
            we_ask(&ours, &theirs.first_record()).await;
            they_ask(&mut theirs, &ours).await;
            assert_eq!(ours.sessions().await, [(theirs.id(), true)], "one handshake is enough");

            let mut theirs = start(program, is_v6, &[]).await;
            they_ask(&mut theirs, &ours).await;
            we_ask(&ours, &theirs.first_record()).await;
            assert_eq!(ours.sessions().await, [(theirs.id(), false)], "one handshake is enough");
            assert_eq!(theirs.bad_packets(), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn nobody_is_at_home() {
    let ours = OurDiscv5::start(loopback(false), &[]).await;
    let absent = OurDiscv5::start(loopback(false), &[]).await;
    let record = absent.record();
    absent.stop().await;
    let error = ours.handle.ping(&node(&record)).await.unwrap_err();
    assert_eq!(error, QueryError::Request(RequestError::Timeout));
    for program in Discv5Program::all() {
        // Somebody else is.
        let theirs = start(program, false, &[]).await;
        let key = NodeKey::generate().unwrap();
        let other = Record::builder().seq(1).ip(theirs.endpoint().ip());
        let other = other.udp(theirs.endpoint().port()).sign(&key).unwrap();
        let error = ours.handle.ping(&node(&other)).await.unwrap_err();
        assert_eq!(error, QueryError::Request(RequestError::Timeout));
    }
}

#[tokio::test]
async fn sessions_are_lost_by_either_side_and_made_anew() {
    for program in Discv5Program::all() {
        let mut ours = OurDiscv5::start(loopback(false), &[]).await;
        let mut theirs = start(program, false, &[]).await;
        we_ask(&ours, &theirs.first_record()).await;
        assert_eq!(ours.sessions().await, [(theirs.id(), true)]);

        // Its process begins anew, and we ask with the old keys; then it asks, with none.
        theirs = theirs.restart().await;
        we_ask(&ours, &theirs.first_record()).await;
        they_ask(&mut theirs, &ours).await;
        assert_eq!(ours.sessions().await, [(theirs.id(), true)]);
        theirs = theirs.restart().await;
        they_ask(&mut theirs, &ours).await;
        we_ask(&ours, &theirs.first_record()).await;
        assert_eq!(ours.sessions().await, [(theirs.id(), false)]);

        // We begin anew, and it asks with the old keys; then we ask, with none.
        ours = ours.restart().await;
        they_ask(&mut theirs, &ours).await;
        we_ask(&ours, &theirs.record().await).await;
        assert_eq!(ours.sessions().await, [(theirs.id(), false)]);
        ours = ours.restart().await;
        we_ask(&ours, &theirs.record().await).await;
        they_ask(&mut theirs, &ours).await;
        assert_eq!(ours.sessions().await, [(theirs.id(), true)]);
    }
}

#[tokio::test]
async fn sessions_expire_on_their_side() {
    for program in Discv5Program::all() {
        if matches!(program, Discv5Program::Geth(_)) {
            continue; // Its sessions live for ever.
        }
        let session_timeout = Some(Duration::from_millis(200));
        let options = Discv5Options { session_timeout, ..Discv5Options::default() };
        let mut ours = OurDiscv5::start(loopback(false), &[]).await;
        let mut theirs = program.start(options).await;
        let record = theirs.first_record();
        for asked_by_us in [true, false] {
            ours.handle.ping(&node(&record)).await.unwrap();
            // Our table may ask at any time, and keep a session alive or make a new one.
            for attempt in 1.. {
                assert!(attempt <= 10, "{} forgets no session", program.name());
                tokio::time::sleep(Duration::from_millis(400)).await;
                // sigp looks how old its sessions are when it makes another.
                let stranger = OurDiscv5::start(loopback(false), &[]).await;
                stranger.handle.ping(&node(&record)).await.unwrap();
                ours.sessions().await;
                if asked_by_us {
                    ours.handle.ping(&node(&record)).await.unwrap();
                } else {
                    theirs.ping(&ours.record()).await.unwrap();
                }
                if ours.sessions().await.contains(&(theirs.id(), asked_by_us)) {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn records_in_the_tables_follow_those_of_the_nodes() {
    for program in Discv5Program::all() {
        let ours = OurDiscv5::start(loopback(false), &[]).await;
        let mut theirs = start(program, false, &[ours.record()]).await;
        they_ask(&mut theirs, &ours).await;
        ours.live(theirs.id()).await;
        theirs.live(ours.id()).await;

        let changed = theirs.set_entry("test", b"theirs").await;
        assert_eq!(ours.handle.request_enr(&node(&changed)).await.unwrap(), changed);
        let what = format!("the new record of {}", program.name());
        ours.table_when(&what, |table| {
            table.iter().any(|entry| entry.node.record() == Some(&changed))
        })
        .await;

        let changed = ours.set_entry("test", b"ours");
        theirs.ping(&changed).await.unwrap();
        theirs
            .table_when("our new record", |table| table.iter().any(|entry| entry.record == changed))
            .await;
    }
}
