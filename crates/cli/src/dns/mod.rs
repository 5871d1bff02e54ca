//! Node lists in DNS: `devp2p dns`, with the words and the files of go-ethereum's program.

mod definition;
mod sync;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use devp2p_dnsdisc::{Link, SignedTree, Tree, Zone};
use serde_json::{Map, Value};

use self::definition::{Definition, Info};
use crate::{clock, failure::Failure, key, output};

/// What can be done with lists.
///
/// On the disk a list is a directory with the two files of go-ethereum's `devp2p dns`:
/// enrtree-info.json with its URL, sequence number, signature and links, and nodes.json with its
/// nodes by id.
#[derive(Debug, Subcommand)]
pub(crate) enum DnsCommand {
    /// Read a whole list, and write it to a directory
    ///
    /// Other lists that it links to are noted and not read. Nothing is written where a part of it
    /// cannot be read.
    Sync(SyncArgs),
    /// Sign the list in a directory, and print its URL
    ///
    /// Writes URL, sequence number and signature to enrtree-info.json, which need not be there; the
    /// nodes are those of nodes.json.
    Sign(SignArgs),
    /// Write the TXT records of a signed list as JSON: an object of names and their texts
    ToTxt(ExportArgs),
    /// Write the TXT records of a signed list as a zone file
    ///
    /// With --ns it is a zone of its own for the list's domain; without, it is to be included in a
    /// zone that has SOA and NS records.
    ToZone(ZoneArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// The list: enrtree://KEY@DOMAIN
    url: Link,
    /// The directory; that of the domain's name where none is told
    directory: Option<PathBuf>,
    /// How long each lookup may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5,
        value_parser = clap::value_parser!(u16).range(1..=600))]
    timeout: u16,
    /// How many lookups there may be in a second
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// A name server to ask, in place of the system's; may be given more than once
    #[arg(long = "server", value_name = "IP:PORT")]
    servers: Vec<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The directory of the list
    directory: PathBuf,
    /// The file with the list's key
    key: PathBuf,
    /// The domain of the list; otherwise that of its URL, or the name of the directory
    #[arg(long)]
    domain: Option<String>,
    /// The sequence number; otherwise the next one
    #[arg(long, value_name = "N")]
    seq: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The directory of the list
    directory: PathBuf,
    /// The file to write; - is stdout
    #[arg(default_value = "-")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ZoneArgs {
    #[command(flatten)]
    export: ExportArgs,
    /// The name of a name server of the zone; may be given more than once
    #[arg(long = "ns", value_name = "NAME")]
    name_servers: Vec<String>,
}

/// Runs one of the commands.
pub(crate) fn run(command: DnsCommand) -> Result<(), Failure> {
    match command {
        DnsCommand::Sync(args) => sync::run(&args),
        DnsCommand::Sign(args) => sign(args),
        DnsCommand::ToTxt(args) => {
            let tree = signed(&args.directory)?;
            let txt = tree.txt().map(|(name, text)| (name, Value::from(text)));
            let json = Value::Object(txt.collect::<Map<_, _>>());
            write(&args.output, &format!("{json:#}\n"))
        }
        DnsCommand::ToZone(args) => {
            let tree = signed(&args.export.directory)?;
            let zone = Zone::new(&tree, &args.name_servers).map_err(Failure::arguments)?;
            write(&args.export.output, &zone.to_string())
        }
    }
}

fn sign(args: SignArgs) -> Result<(), Failure> {
    let Definition { mut info, records } = Definition::read(&args.directory)?;
    let key = key::load(&args.key)?;
    let domain = match (args.domain, &info.url) {
        (Some(domain), _) => domain,
        (None, Some(url)) => url.domain().to_owned(),
        (None, None) => directory_name(&args.directory)?,
    };
    info.seq = match args.seq {
        Some(seq) => seq,
        None => {
            info.seq.checked_add(1).ok_or_else(|| Failure::arguments("seq has no successor"))?
        }
    };
    let tree = Tree::new(info.seq, records, info.links.clone()).map_err(Failure::arguments)?;
    let tree = tree.sign(&key, &domain).map_err(Failure::arguments)?;
    let info = Info { modified: Some(clock::unix()), ..Info::of(&tree, info.links) };
    info.write(&args.directory)?;
    output::line(tree.link())
}

/// The list in a directory, whose signature must be that of its present content.
fn signed(directory: &Path) -> Result<SignedTree, Failure> {
    let Definition { info, records } = Definition::read(directory)?;
    let (Some(url), Some(signature)) = (info.url, info.signature) else {
        return Err(Failure::arguments("the list is not signed, see devp2p dns sign"));
    };
    let tree = Tree::new(info.seq, records, info.links).map_err(Failure::arguments)?;
    tree.with_signature(url, &signature).map_err(|error| {
        Failure::arguments(format!("{error}: sign what was changed, see devp2p dns sign"))
    })
}

/// The last part of the path to a directory, `.` and the like followed.
fn directory_name(directory: &Path) -> Result<String, Failure> {
    let path = directory.canonicalize().map_err(|error| definition::bad_file(directory, error))?;
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| Failure::arguments("the list needs a --domain"))
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    if file == Path::new("-") {
        return output::line(&text.trim_end());
    }
    definition::write_file(file, text)
}
