//! `devp2p dns sync`: reads a whole list.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use devp2p_core::{NodeId, Record, Rng};
use devp2p_dnsdisc::{AnyResolver, Client, Config, Driver, Event, HickoryResolver, Link, Root};
use futures::StreamExt as _;

use super::{
    SyncArgs,
    definition::{Info, bad_file, write_nodes},
};
use crate::{
    clock,
    failure::Failure,
    output::{self, Line},
    runtime,
};

/// What was read of a list.
struct Found {
    root: Root,
    records: BTreeMap<NodeId, Record>,
    links: Vec<Link>,
}

pub(super) fn run(args: &SyncArgs) -> Result<(), Failure> {
    runtime::block_on(async {
        let found = read(args).await?;
        let directory = args.directory.as_deref().unwrap_or_else(|| Path::new(args.url.domain()));
        fs::create_dir_all(directory).map_err(|error| bad_file(directory, error))?;
        write_nodes(directory, &found.records)?;
        let line = Line::new("list")
            .show("domain", args.url.domain())
            .with("seq", found.root.seq())
            .with("nodes", found.records.len())
            .with("links", found.links.len());
        let info = Info {
            url: Some(args.url.clone()),
            seq: found.root.seq(),
            signature: Some(found.root.signature()),
            links: found.links,
            modified: Some(clock::unix()),
        };
        info.write(directory)?;
        output::line(&line)
    })
}

async fn read(args: &SyncArgs) -> Result<Found, Failure> {
    let resolver = if args.servers.is_empty() {
        HickoryResolver::from_system()
    } else {
        HickoryResolver::from_servers(args.servers.iter().copied())
    };
    let resolver = AnyResolver::new(resolver.map_err(Failure::work)?);
    let mut config = Config::default();
    config.follow_links = false;
    config.lookup_timeout = Duration::from_secs(args.timeout.into());
    config.rate = args.rate;
    let seed =
        Rng::from_os().map_err(|error| Failure::work(format!("no entropy: {error}")))?.seed();
    let client = Client::new(config, [args.url.clone()], seed, clock::now());
    let mut driver = Driver::new(client, resolver);
    driver.want(usize::MAX);

    let mut root = None;
    let (mut records, mut links, mut failed) = (BTreeMap::new(), Vec::new(), 0_usize);
    while let Some(event) = driver.next().await {
        match event {
            Event::Failed { name, error, .. } => {
                if root.is_none() {
                    return Err(Failure::work(format!("{name}: {error}")));
                }
                eprintln!("error: {name}: {error}");
                failed = failed.saturating_add(1);
            }
            Event::Link { link, .. } => links.push(link),
            Event::Record { record, .. } => {
                records.insert(record.id(), record);
            }
            Event::Root { root: new, .. } => {
                // What was found belongs to the old one, except where nothing has changed.
                if root.as_ref().is_none_or(|old: &Root| old.records() != new.records()) {
                    records.clear();
                    failed = 0;
                }
                if root.as_ref().is_none_or(|old| old.links() != new.links()) {
                    links.clear();
                }
                root = Some(new);
            }
            Event::Round { .. } => break,
            _ => {}
        }
    }
    match root {
        Some(root) if failed == 0 => Ok(Found { root, records, links }),
        _ => Err(Failure::work(format!("{failed} entries cannot be read, and nothing is written"))),
    }
}
