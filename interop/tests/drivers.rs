//! The foreign peers with one another: what fails here is not ours.

use devp2p_core::{NodeId, Record};
use devp2p_interop::{Discv5Options, Discv5Pong, Discv5Program, ECHO, ForeignDiscv5};

#[tokio::test]
async fn ethereumjs_and_geth_understand_each_other() {
    let (Some(geth), Some(ethereumjs)) = (devp2p_interop::geth(), devp2p_interop::ethereumjs())
    else {
        return;
    };
    let mut geth = geth.server(&["-protocols", "itest"]).await;
    let mut ethereumjs = ethereumjs.peer(&[]).await;
    geth.dial(ethereumjs.node()).await;
    geth.added(ethereumjs.id()).await;
    ethereumjs.added(geth.id()).await;

    geth.begin_batch(ethereumjs.id(), "itest", 50, (1, 1024)).await;
    assert_eq!(geth.sent("itest").await.sha256, ethereumjs.received("itest").await.sha256);
    ethereumjs.echo(geth.id(), "itest", 1000).await;

    geth.disconnect(ethereumjs.id(), 4).await;
    let dropped = ethereumjs.dropped(geth.id()).await;
    assert_eq!((dropped.reason, dropped.by_remote), (Some(4), true));
    geth.stop().await;
    ethereumjs.stop().await;
}

#[tokio::test]
async fn ethereumjs_and_geths_find_one_another_from_a_bootnode() {
    let (Some(geth), Some(ethereumjs)) = (devp2p_interop::geth(), devp2p_interop::ethereumjs())
    else {
        return;
    };
    let flags = ["-discv4", "-protocols", "itest"];
    let mut boot = geth.server(&flags).await;
    let url = boot.node().to_enode();
    let mut geth = geth.server(&[&flags[..], &["-bootnode", &url]].concat()).await;
    let flags = ["--discv4", "--dial", "--bootnode", &url, "--refresh", "2000"];
    let mut ethereumjs = ethereumjs.peer(&flags).await;

    // Dials of one another can cross and undo each other; in the end all are connected.
    for id in [geth.id(), ethereumjs.id()] {
        boot.added(id).await;
        boot.table_when("they are in its table", |table| {
            table.iter().any(|known| known.id() == id)
        })
        .await;
    }
    geth.verified(boot.id()).await;
    ethereumjs.verified(geth.id()).await;
    ethereumjs.added(geth.id()).await;
}

/// The programs of discovery v5, each with each: pings, records, talk both ways, lookups and tables.
#[tokio::test]
async fn the_discoveries_v5_understand_one_another() {
    let programs = Discv5Program::all();
    for (at, first) in programs.iter().enumerate() {
        for second in programs.iter().skip(at) {
            understand_each_other(*first, *second).await;
        }
    }
}

async fn understand_each_other(first: Discv5Program, second: Discv5Program) {
    let mut first = first.start(Discv5Options::default()).await;
    let bootnodes = vec![first.first_record()];
    let mut second = second.start(Discv5Options { bootnodes, ..Discv5Options::default() }).await;
    talk_and_ping(&mut second, &first.record().await).await;
    talk_and_ping(&mut first, &second.record().await).await;
    first.live(second.id()).await;
    second.live(first.id()).await;

    let changed = second.set_entry("test", b"value").await;
    assert!(changed.seq() > second.first_record().seq());
    assert_eq!(first.find_node(&changed, &[0]).await.unwrap(), [changed]);
    assert_eq!(ids(&second.lookup(first.id()).await.unwrap()), [first.id()]);

    // Whoever was asked before has forgotten the session.
    let restarted = second.restart().await;
    talk_and_ping(&mut first, &restarted.first_record()).await;
    restarted.stop().await;
}

async fn talk_and_ping(from: &mut ForeignDiscv5, to: &Record) {
    let pong = ping(from, to).await;
    assert_eq!((pong.enr_seq, pong.endpoint()), (to.seq(), from.endpoint()));
    assert_eq!(from.talk(to, ECHO, b"to be echoed").await.unwrap(), b"to be echoed");
    assert_eq!(from.talk(to, "unknown", b"to be echoed").await.unwrap(), b"");
    assert_eq!(from.find_node(to, &[0]).await.unwrap(), std::slice::from_ref(to));
}

/// Not all of them can take two handshakes at once, and they may check one another at any time.
async fn ping(from: &mut ForeignDiscv5, to: &Record) -> Discv5Pong {
    let mut answer = from.ping(to).await;
    for _ in 0..4 {
        if answer.is_err() {
            answer = from.ping(to).await;
        }
    }
    answer.unwrap_or_else(|error| panic!("{}: {error}", from.program().name()))
}

fn ids(records: &[Record]) -> Vec<NodeId> {
    records.iter().map(Record::id).collect()
}
