//! The file.

use std::{fs, io, path::Path, time::Duration};

use devp2p_core::{DiscoveryVersion, MAX_BANS, NodeId, Rng, Seed};
use redb::{
    Database, ReadableDatabase as _, ReadableTable, ReadableTableMetadata as _, Table,
    TableDefinition, TableError, WriteTransaction,
};

use crate::{
    Remembered,
    mailbox::Batch,
    row::{self, LocalSeq},
    turns::{self, Entry},
};

/// How many seeds of each protocol are kept. Far more than a start needs, so that churn and an
/// attacker's rows leave enough, and few enough to go through within milliseconds.
pub const MAX_SEEDS: usize = 8_192;

/// How long after its last answer a seed is kept, as in geth; looked at when the file is opened.
pub const SEED_LIFETIME: Duration = Duration::from_secs(5 * 24 * 60 * 60);

/// How many anchors are kept. Enough to be honest, in part, where some peers are; few enough that
/// not all slots of a start are spent on the past.
pub const MAX_ANCHORS: usize = 4;

/// How many keys' own numbers are kept, the most recently used ones. A program that makes a new key
/// at each start would otherwise leave a row each time.
pub const MAX_LOCAL_IDS: usize = 16;

/// The file is smaller than this, in bytes: two protocols full of records of the largest size, on
/// pages half full, twice, for a change is written beside what it changes. A larger file is not
/// ours.
pub const MAX_FILE_SIZE: u64 = 32 << 20;

/// How much the library may keep in memory, in bytes. A few megabytes are read once, at the start.
const CACHE: usize = 2 << 20;

/// What the file says of itself. A program that meets another version leaves the file alone.
const FORMAT: [u8; 8] = *b"nodedb\x00\x01";

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const META_FORMAT: &str = "format";
/// The id under whose key the rows were written last.
const META_LOCAL: &str = "local";
const META_ANCHORS: &str = "anchors";
const META_BANS: &str = "bans";

const LOCAL_SEQS: SeedTable = TableDefinition::new("local-seqs");

type SeedTable = TableDefinition<'static, [u8; 32], &'static [u8]>;

/// The protocols whose seeds are kept, and where.
const PROTOCOLS: [(DiscoveryVersion, SeedTable); 2] = [
    (DiscoveryVersion::V4, TableDefinition::new("seeds-v4")),
    (DiscoveryVersion::V5, TableDefinition::new("seeds-v5")),
];

/// An open file of ours.
pub(crate) struct Store {
    database: Database,
    local: NodeId,
    max_seeds: usize,
    /// When it was opened, in seconds since 1970.
    now: u64,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The file is no use, to nobody.
    Damaged(String),
    InUse,
    Io(io::Error),
}

impl Store {
    /// Opens the file, or makes it, and deletes from it what is damaged, expired or too much.
    pub(crate) fn open(
        path: &Path,
        local: NodeId,
        max_seeds: usize,
        now: u64,
    ) -> Result<Self, Trouble> {
        prepare(path)?;
        let database = Database::builder()
            .set_cache_size(CACHE)
            // Also what a clean close left may have been damaged since.
            .set_check_integrity_on_open(true)
            .create(path)
            .map_err(|error| Trouble::from(redb::Error::from(error)))?;
        let mut store = Self { database, local, max_seeds, now };
        store.check_format()?;
        store.clean()?;
        Ok(store)
    }

    /// What there is to remember, with up to `limit` seeds of each protocol. Deletes the damaged
    /// rows that it meets.
    pub(crate) fn remembered(
        &mut self,
        limit: usize,
        rng: &mut Rng,
    ) -> Result<Remembered, redb::Error> {
        let read = self.database.begin_read()?;
        let own = read.open_table(LOCAL_SEQS)?.get(self.local.as_bytes())?;
        let local_seq = own.and_then(|row| row::decode_local_seq(row.value())).map(|own| own.seq);
        let anchors = read.open_table(META)?.get(META_ANCHORS)?;
        let anchors = anchors.and_then(|row| row::decode_anchors(row.value())).unwrap_or_default();
        let bans = read.open_table(META)?.get(META_BANS)?;
        let mut bans = bans.and_then(|row| row::decode_bans(row.value())).unwrap_or_default();
        bans.retain(|ban| !ban.is_over(self.now));
        let mut seeds = Vec::new();
        let mut damaged = Batch::default();
        for (protocol, seeds_table) in PROTOCOLS {
            let table = read.open_table(seeds_table)?;
            let mut found = Vec::new();
            let mut entries = entries(&table)?;
            for entry in &mut entries {
                entry.last_pong = self.known_time(entry.last_pong);
            }
            for id in turns::told(entries, limit, rng) {
                if found.len() >= limit {
                    break;
                }
                let row = table.get(id.as_bytes())?;
                match row.and_then(|row| row::decode_seed(protocol, id, row.value())) {
                    Some(seed) => found.push(self.without_future(seed)),
                    None => drop(damaged.seeds.insert((protocol, id), None)),
                }
            }
            seeds.append(&mut found);
        }
        if !damaged.is_empty() {
            drop(read);
            self.apply(&damaged)?;
        }
        Ok(Remembered { local_seq, seeds, anchors, bans })
    }

    /// Writes all of it or nothing; it is on the disk afterwards.
    pub(crate) fn apply(&self, batch: &Batch) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        for (protocol, seeds_table) in PROTOCOLS {
            let mut table = write.open_table(seeds_table)?;
            for ((_, id), seed) in batch.seeds.iter().filter(|((of, _), _)| *of == protocol) {
                match seed {
                    Some(seed) => {
                        drop(table.insert(id.as_bytes(), row::encode_seed(seed).as_slice())?)
                    }
                    None => drop(table.remove(id.as_bytes())?),
                }
            }
        }
        trim(&write, self.max_seeds)?;
        if let Some(seq) = batch.local_seq {
            self.put_local_seq(&write, seq)?;
        }
        if let Some(anchors) = &batch.anchors {
            let row = row::encode_anchors(anchors.get(..MAX_ANCHORS).unwrap_or(anchors));
            write.open_table(META)?.insert(META_ANCHORS, row.as_slice())?;
        }
        if let Some(bans) = &batch.bans {
            let row = row::encode_bans(bans.get(..MAX_BANS).unwrap_or(bans));
            write.open_table(META)?.insert(META_BANS, row.as_slice())?;
        }
        write.commit()?;
        Ok(())
    }

    /// Makes a new file one of ours.
    fn check_format(&self) -> Result<(), Trouble> {
        match self.format()? {
            Some(format) if format == FORMAT => Ok(()),
            Some(_) => Err(Trouble::Damaged("it has the format of another version".into())),
            None => Err(Trouble::Damaged("it is the file of another program".into())),
        }
    }

    fn format(&self) -> Result<Option<Vec<u8>>, redb::Error> {
        let write = self.database.begin_write()?;
        let is_new =
            write.list_tables()?.next().is_none() && write.list_multimap_tables()?.next().is_none();
        if is_new {
            write.open_table(META)?.insert(META_FORMAT, FORMAT.as_slice())?;
            write.commit()?;
            return Ok(Some(FORMAT.to_vec()));
        }
        write.abort()?;
        match self.database.begin_read()?.open_table(META) {
            Ok(meta) => Ok(meta.get(META_FORMAT)?.map(|row| row.value().to_vec())),
            // Somebody else's tables, and perhaps one by the same name.
            Err(TableError::Storage(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// Deletes what has no place in the file any more, and makes the tables that are missing.
    fn clean(&mut self) -> Result<(), Trouble> {
        self.clean_rows().map_err(Trouble::from)
    }

    fn clean_rows(&mut self) -> Result<(), redb::Error> {
        let write = self.database.begin_write()?;
        {
            let mut meta = write.open_table(META)?;
            let local = self.local.as_bytes().as_slice();
            let is_ours = meta.get(META_LOCAL)?.is_some_and(|row| row.value() == local);
            if !is_ours {
                for (_, seeds_table) in PROTOCOLS {
                    forget_answers(&mut write.open_table(seeds_table)?)?;
                }
                meta.insert(META_LOCAL, local)?;
            }
            let anchors = meta.get(META_ANCHORS)?;
            if anchors.is_some_and(|row| row::decode_anchors(row.value()).is_none()) {
                meta.remove(META_ANCHORS)?;
            }
            let bans = meta.get(META_BANS)?;
            if bans.is_some_and(|row| row::decode_bans(row.value()).is_none()) {
                meta.remove(META_BANS)?;
            }
        }
        write.open_table(LOCAL_SEQS)?.retain(|_, row| row::decode_local_seq(row).is_some())?;
        sweep(&write, self.now)?;
        trim(&write, self.max_seeds)?;
        write.commit()?;
        Ok(())
    }

    /// A number never goes down: two records of one number must not come to be.
    fn put_local_seq(&self, write: &WriteTransaction, seq: u64) -> Result<(), redb::Error> {
        let mut table = write.open_table(LOCAL_SEQS)?;
        let before = table.get(self.local.as_bytes())?;
        let before = before.and_then(|row| row::decode_local_seq(row.value()));
        let seq = before.map_or(seq, |before| before.seq.max(seq));
        let row = row::encode_local_seq(LocalSeq { seq, used: self.now });
        table.insert(self.local.as_bytes(), row.as_slice())?;

        let mut others = Vec::new();
        for item in table.iter()? {
            let (id, row) = item?;
            let used = row::decode_local_seq(row.value()).map(|other| other.used);
            if id.value() != *self.local.as_bytes() {
                others.push((used, id.value()));
            }
        }
        others.sort_unstable();
        let surplus = others.len().saturating_add(1).saturating_sub(MAX_LOCAL_IDS);
        for (_, id) in others.into_iter().take(surplus) {
            table.remove(id)?;
        }
        Ok(())
    }

    /// What was written while a clock was ahead of today's is no proof of anything, or it would be
    /// fresh at every start. The row stays: perhaps it is today's clock that is wrong.
    const fn without_future(&self, mut seed: Seed) -> Seed {
        seed.last_pong = self.known_time(seed.last_pong);
        seed.last_ping = self.known_time(seed.last_ping);
        seed
    }

    /// The time, or 0, for never, where it is still to come.
    const fn known_time(&self, time: u64) -> u64 {
        if time <= self.now { time } else { 0 }
    }
}

/// What can be said before the file is opened.
fn prepare(path: &Path) -> Result<(), Trouble> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            Err(Trouble::Io(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")))
        }
        Ok(found) if found.len() > MAX_FILE_SIZE => {
            Err(Trouble::Damaged(format!("it has {} bytes", found.len())))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => {
                fs::create_dir_all(folder).map_err(Trouble::Io)
            }
            _ => Ok(()),
        },
        Err(error) => Err(Trouble::Io(error)),
    }
}

/// Whether a seed that answered then is of use now.
pub(crate) const fn is_fresh(last_pong: u64, now: u64) -> bool {
    last_pong != 0 && now.saturating_sub(last_pong) <= SEED_LIFETIME.as_secs()
}

/// Deletes the seeds that are expired or no rows of ours.
fn sweep(write: &WriteTransaction, now: u64) -> Result<(), redb::Error> {
    for (_, seeds_table) in PROTOCOLS {
        write.open_table(seeds_table)?.retain(|id, row| {
            row::peek_seed(NodeId::new(id), row).is_some_and(|entry| is_fresh(entry.last_pong, now))
        })?;
    }
    Ok(())
}

/// Deletes the seeds above the limit.
fn trim(write: &WriteTransaction, limit: usize) -> Result<(), redb::Error> {
    for (_, seeds_table) in PROTOCOLS {
        let mut table = write.open_table(seeds_table)?;
        if usize::try_from(table.len()?).unwrap_or(usize::MAX) > limit {
            for id in turns::excess(entries(&table)?, limit) {
                table.remove(id.as_bytes())?;
            }
        }
    }
    Ok(())
}

/// Deletes when we had answered each node.
fn forget_answers(table: &mut Table<'_, [u8; 32], &'static [u8]>) -> Result<(), redb::Error> {
    let mut changed = Vec::new();
    for item in table.iter()? {
        let (id, row) = item?;
        changed.extend(row::unanswered(row.value()).map(|row| (id.value(), row)));
    }
    for (id, row) in changed {
        table.insert(id, row.as_slice())?;
    }
    Ok(())
}

fn entries(table: &impl ReadableTable<[u8; 32], &'static [u8]>) -> Result<Vec<Entry>, redb::Error> {
    let mut entries = Vec::new();
    for item in table.iter()? {
        let (id, row) = item?;
        entries.extend(row::peek_seed(NodeId::new(id.value()), row.value()));
    }
    Ok(entries)
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Self {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::InUse,
            // What is no file of the library, and what was cut off.
            redb::Error::Io(error) if matches!(error.kind(), InvalidData | UnexpectedEof) => {
                Self::Damaged(error.to_string())
            }
            redb::Error::Io(error) => Self::Io(error),
            redb::Error::Backend(_) | redb::Error::PreviousIo | redb::Error::Unsupported => {
                Self::Io(io::Error::other(error))
            }
            error => Self::Damaged(error.to_string()),
        }
    }
}
