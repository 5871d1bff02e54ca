//! The suite of [`NodeDb`].
//!
//! Its clauses:
//!
//! - **starts empty**: a new database remembers nothing.
//! - **remembers**: what was written before the close is told after it, at every start.
//! - **the newest counts**: of a node the newest row, whether a seed or to forget it; of anchors and
//!   bans the newest; of numbers the highest.
//! - **never waits**: not for a disk, however many rows come at once.
//! - **keeps number, anchors and bans**: a flood of seeds does not drive them out.
//! - **one number per key**: under another key there is another number, and nobody was answered yet.
//! - **answers only**: who never answered, or not for 5 days, is not remembered.
//! - **bans end**: one that is over is not told, one without an end always is.
//! - **close ends**: whether open or not, twice, and with a lot to write.
//! - **close can be dropped**: without loss.
//! - **open can be dropped**: the next handle opens what nobody waited for.
//! - **late rows**: what is written after the close changes nothing, nor what is before the start.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, LazyLock, mpsc::channel},
    thread,
    time::Duration,
};

use devp2p_core::{Ban, DiscoveryVersion, Node, NodeId, NodeKey, Seed};
use futures::FutureExt as _;
use tokio::{task::spawn_blocking, time::sleep};

use super::{Report, Seen, Suite, TICK, ensure, key, node_at, seen};
use crate::{NodeDb, NodeDbError, Remembered, Row};

/// A flood of rows: more than a database may keep waiting.
const FLOOD_SIZE: u32 = 10_000;

/// How long a flood may take, in real time. A database that waits for a disk at each row needs
/// longer.
const FLOOD_LIMIT: Duration = Duration::from_secs(2);

/// The time at which the suite starts, in seconds since 1970.
const NOW: u64 = 1_700_000_000;

const DAY: u64 = 24 * 60 * 60;

/// How often to try whether a database that closes by itself is closed.
const ATTEMPTS: usize = 10_000;

/// Tries every clause. `storage` makes a new, empty storage, as what makes handles on it: each is
/// opened after the one before was closed, as servers that follow on one another would.
pub async fn check<H>(storage: impl Fn() -> H) -> Report
where
    H: Fn() -> Arc<dyn NodeDb>,
{
    let mut suite = Suite::new("NodeDb");
    suite.clause("starts empty", starts_empty(storage())).await;
    suite.clause("remembers", remembers(storage())).await;
    suite.clause("the newest counts", newest_counts(storage())).await;
    suite.clause("never waits", never_waits(storage())).await;
    suite.clause("keeps number, anchors and bans", keeps(storage())).await;
    suite.clause("one number per key", per_key(storage())).await;
    suite.clause("answers only", answers_only(storage())).await;
    suite.clause("bans end", bans_end(storage())).await;
    suite.clause("close ends", close_ends(storage())).await;
    suite.clause("close can be dropped", close_dropped(storage())).await;
    suite.clause("open can be dropped", open_dropped(storage())).await;
    suite.clause("late rows", late_rows(storage())).await;
    suite.report()
}

async fn starts_empty(handle: impl Fn() -> Arc<dyn NodeDb>) -> Result<(), Seen> {
    let found = handle().open(local(1), NOW).await?;
    expect(&found, &Remembered::default())
}

async fn remembers(handle: impl Fn() -> Arc<dyn NodeDb>) -> Result<(), Seen> {
    let mut answered = seed(1, DiscoveryVersion::V4, NOW)?;
    answered.last_ping = NOW;
    let seeds =
        vec![answered, seed(2, DiscoveryVersion::V4, NOW)?, seed(2, DiscoveryVersion::V5, NOW)?];
    let anchors = vec![node(3)?, node(2)?];
    let rows = seeds.iter().cloned().map(Row::Seed);
    let bans = vec![Ban::new(local(9).into(), NOW, None), ban_of_a_day()];
    let others = [Row::Anchors(anchors.clone()), Row::Bans(bans.clone()), Row::LocalSeq(7)];
    run(&handle, rows.chain(others)).await?;
    for _ in 0..2 {
        let found = run(&handle, []).await?;
        let expected = remembered(Some(7), seeds.clone(), anchors.clone());
        expect(&found, &Remembered { bans: bans.clone(), ..expected })?;
    }
    Ok(())
}

async fn newest_counts(handle: impl Fn() -> Arc<dyn NodeDb>) -> Result<(), Seen> {
    let v4 = DiscoveryVersion::V4;
    let forget = |n| Ok::<_, Seen>(Row::Forget { protocol: v4, id: node(n)?.id() });
    let rows = [
        Row::Seed(seed(1, v4, NOW - 6)?),
        Row::Seed(seed(1, v4, NOW - 5)?),
        Row::Seed(seed(2, v4, NOW)?),
        forget(2)?,
        Row::Seed(seed(2, DiscoveryVersion::V5, NOW)?),
        forget(3)?,
        Row::Seed(seed(3, v4, NOW - 6)?),
        Row::Anchors(vec![node(1)?]),
        Row::Anchors(vec![node(2)?]),
        Row::Bans(vec![ban_of_a_day()]),
        Row::Bans(Vec::new()),
        Row::LocalSeq(9),
        Row::LocalSeq(8),
    ];
    run(&handle, rows).await?;
    let later = [Row::Seed(seed(3, v4, NOW)?), forget(1)?, Row::LocalSeq(5)];
    run(&handle, later).await?;
    let found = run(&handle, []).await?;
    let seeds = vec![seed(2, DiscoveryVersion::V5, NOW)?, seed(3, v4, NOW)?];
    expect(&found, &remembered(Some(9), seeds, vec![node(2)?]))
}

async fn never_waits(handle: impl Fn() -> Arc<dyn NodeDb>) -> Result<(), Seen> {
    let db = handle();
    db.open(local(1), NOW).await?;
    ensure(pour(&db).await, || format!("{FLOOD_SIZE} rows take more than {FLOOD_LIMIT:?}"))
}

async fn keeps(handle: impl Fn() -> Arc<dyn NodeDb>) -> Result<(), Seen> {
    let db = handle();
    db.open(local(1), NOW).await?;
    ensure(pour(&db).await, || "no end of a flood".to_owned())?;
    db.write(Row::LocalSeq(3));
    db.write(Row::Anchors(vec![node(1)?]));
    db.write(Row::Bans(vec![ban_of_a_day()]));
    ensure(pour(&db).await, || "no end of a flood".to_owned())?;
    db.close().await;
    let found = run(&handle, []).await?;
    ensure(found.seq == Some(3), || format!("number {:?} in place of 3", found.seq))?;
    ensure(found.bans == [ban_of_a_day()], || format!("bans {:?}", found.bans))?;
    ensure(found.anchors == [node(1)?], || format!("anchors {:?}", found.anchors))
}

async fn per_key(handle: impl Fn() -> Arc<dyn NodeDb>) -> Result<(), Seen> {
    let mut answered = seed(1, DiscoveryVersion::V4, NOW)?;
    answered.last_ping = NOW;
    run(&handle, [Row::LocalSeq(7), Row::Seed(answered)]).await?;
    for (n, seq) in [(2, None), (1, Some(7)), (2, Some(3))] {
        let db = handle();
        let found = db.open(local(n), NOW).await?;
        ensure(found.seq == seq, || format!("number {:?} in place of {seq:?}", found.seq))?;
        ensure(found.seeds.iter().all(|seed| seed.last_ping == 0), || {
            "a node that was answered under another key".to_owned()
        })?;
        db.write(Row::LocalSeq(3));
        db.close().await;
    }
    Ok(())
}

async fn answers_only(handle: impl Fn() -> Arc<dyn NodeDb>) -> Result<(), Seen> {
    let mut pinged = seed(1, DiscoveryVersion::V4, 0)?;
    pinged.last_ping = NOW;
    let rows = [pinged, seed(2, DiscoveryVersion::V4, NOW)?, seed(3, DiscoveryVersion::V5, NOW)?];
    run(&handle, rows.map(Row::Seed)).await?;
    for (days, count) in [(0, 2), (4, 2), (6, 0)] {
        let db = handle();
        let found = db.open(local(1), NOW + days * DAY).await?;
        db.close().await;
        ensure(found.seeds.len() == count, || {
            format!("after {days} days {} seeds in place of {count}", found.seeds.len())
        })?;
    }
    Ok(())
}

async fn bans_end(handle: impl Fn() -> Arc<dyn NodeDb>) -> Result<(), Seen> {
    let for_good = Ban::new(local(9).into(), NOW, None);
    run(&handle, [Row::Bans(vec![for_good, ban_of_a_day()])]).await?;
    for (days, bans) in [(0, vec![for_good, ban_of_a_day()]), (1, vec![for_good])] {
        let db = handle();
        let found = db.open(local(1), NOW + days * DAY).await?;
        db.close().await;
        ensure(found.bans == bans, || format!("after {days} days {:?}", found.bans))?;
    }
    Ok(())
}

async fn close_ends(handle: impl Fn() -> Arc<dyn NodeDb>) -> Result<(), Seen> {
    handle().close().await;
    let db = handle();
    db.open(local(1), NOW).await?;
    ensure(pour(&db).await, || "no end of a flood".to_owned())?;
    db.close().await;
    db.close().await;
    // Whoever comes next finds it closed.
    run(&handle, []).await?;
    Ok(())
}

async fn close_dropped(handle: impl Fn() -> Arc<dyn NodeDb>) -> Result<(), Seen> {
    for (polls, seq) in [(0, 1), (1, 2)] {
        let db = handle();
        open_after_drop(&db).await?;
        db.write(Row::LocalSeq(seq));
        let mut close = db.close();
        if polls > 0 {
            let _ = (&mut close).now_or_never();
        }
        drop(close);
        let next = handle();
        let found = open_after_drop(&next).await?;
        next.close().await;
        ensure(found.seq == Some(seq), || format!("number {:?} in place of {seq}", found.seq))?;
    }
    Ok(())
}

async fn open_dropped(handle: impl Fn() -> Arc<dyn NodeDb>) -> Result<(), Seen> {
    for polls in [0, 1] {
        let db = handle();
        let mut open = db.open(local(1), NOW);
        if polls > 0 {
            let _ = (&mut open).now_or_never();
        }
    }
    let found = open_after_drop(&handle()).await?;
    expect(&found, &Remembered::default())
}

async fn late_rows(handle: impl Fn() -> Arc<dyn NodeDb>) -> Result<(), Seen> {
    let early = handle();
    early.write(Row::LocalSeq(1));
    early.write(Row::Seed(seed(1, DiscoveryVersion::V4, NOW)?));
    let db = handle();
    let found = db.open(local(1), NOW).await?;
    expect(&found, &Remembered::default())?;
    db.write(Row::LocalSeq(2));
    db.close().await;
    let next = handle();
    next.open(local(1), NOW).await?;
    db.write(Row::LocalSeq(9));
    db.write(Row::Anchors(vec![node(1)?]));
    db.write(Row::Bans(vec![ban_of_a_day()]));
    db.write(Row::Seed(seed(1, DiscoveryVersion::V4, NOW)?));
    next.close().await;
    db.write(Row::LocalSeq(9));
    let found = run(&handle, []).await?;
    expect(&found, &remembered(Some(2), Vec::new(), Vec::new()))
}

/// One run: what it was told, after it has written these rows and closed.
async fn run(
    handle: &impl Fn() -> Arc<dyn NodeDb>,
    rows: impl IntoIterator<Item = Row>,
) -> Result<Remembered, Seen> {
    let db = handle();
    let found = db.open(local(1), NOW).await?;
    rows.into_iter().for_each(|row| db.write(row));
    db.close().await;
    Ok(found)
}

/// Opens what may still be closing.
async fn open_after_drop(db: &Arc<dyn NodeDb>) -> Result<Remembered, Seen> {
    for _ in 0..ATTEMPTS {
        match db.open(local(1), NOW).await {
            Err(NodeDbError::InUse) => sleep(TICK).await,
            opened => return Ok(opened?),
        }
    }
    seen("not closed yet")
}

/// Writes them all from a thread of its own; whether that took no longer than it may.
async fn pour(db: &Arc<dyn NodeDb>) -> bool {
    let db = Arc::clone(db);
    LazyLock::force(&FLOOD);
    // Real time, for a call that waits does not let go of its thread.
    let watch = move || {
        let (done, is_done) = channel();
        thread::spawn(move || {
            FLOOD.iter().for_each(|seed| db.write(Row::Seed(seed.clone())));
            drop(db);
            // Nobody listens where it took too long.
            let _ = done.send(());
        });
        is_done.recv_timeout(FLOOD_LIMIT).is_ok()
    };
    spawn_blocking(watch).await.unwrap_or(false)
}

/// Seeds of as many nodes. Made once: each has a key to compute.
static FLOOD: LazyLock<Vec<Seed>> = LazyLock::new(|| {
    let secret = |n: u32| {
        let mut secret = [1; 32];
        secret.iter_mut().zip(n.to_be_bytes()).for_each(|(to, byte)| *to = byte);
        secret
    };
    let keys = (0..FLOOD_SIZE).filter_map(|n| NodeKey::from_bytes(&secret(n)).ok());
    let endpoint = endpoint(1);
    keys.map(|key| {
        let node = node_at(key.public_key(), endpoint);
        Seed::new(node, endpoint, DiscoveryVersion::V4, NOW)
    })
    .collect()
});

fn expect(found: &Remembered, expected: &Remembered) -> Result<(), Seen> {
    let sorted = |remembered: &Remembered| {
        let mut remembered = remembered.clone();
        remembered.seeds.sort_by_key(|seed| (seed.protocol, seed.node.id()));
        remembered
    };
    let (found, expected) = (sorted(found), sorted(expected));
    ensure(found == expected, || format!("{found:?} in place of {expected:?}"))
}

const fn remembered(seq: Option<u64>, seeds: Vec<Seed>, anchors: Vec<Node>) -> Remembered {
    Remembered { seq, seeds, anchors, bans: Vec::new() }
}

fn ban_of_a_day() -> Ban {
    Ban::new(endpoint(1).ip().into(), NOW, Some(Duration::from_secs(DAY)))
}

const fn local(n: u8) -> NodeId {
    NodeId::new([n; 32])
}

fn node(n: u8) -> Result<Node, Seen> {
    Ok(node_at(key(n)?.public_key(), endpoint(n)))
}

fn seed(n: u8, protocol: DiscoveryVersion, last_pong: u64) -> Result<Seed, Seen> {
    Ok(Seed::new(node(n)?, endpoint(n), protocol, last_pong))
}

fn endpoint(n: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, n, 1), 30_303))
}
