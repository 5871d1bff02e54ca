//! The command line.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, error::ErrorKind};
use clap_complete::Shell;
use devp2p_core::{DiscoveryVersion, Host, Node};

use crate::{
    attach::AttachArgs,
    config::RunArgs,
    dns::DnsCommand,
    failure::{Failure, one_line},
    hex::TextOrHex,
    network::Network,
};

/// Node keys, node discovery, a devp2p node to run, and a network of whole nodes on loopback.
#[derive(Debug, Parser)]
#[command(name = "devp2p", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Log more to stderr: -v info, -vv debug, -vvv trace
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Call a method of a node that runs, and print what it answers as JSON
    ///
    /// As in: devp2p attach --to node/devp2p.ipc admin_peers. Of a subscription, as in admin_subscribe
    /// peerEvents, it prints a line for everything that the node tells, until it is interrupted.
    ///
    /// Beside geth's methods there are admin_dialStatus, which tells whom the node dials, what became of
    /// the last dials and when it dials again, and admin_disconnects, the last peers that are gone; and
    /// admin_banPeer, admin_unbanPeer and admin_bans: a ban is of a node id, an enode or enr URL, an IP
    /// address or a network, and for good, or for so many seconds as come after that.
    Attach(AttachArgs),
    /// Print a script that completes this program's command lines in a shell
    Completions(CompletionsArgs),
    /// Start many whole nodes on loopback, kill a quarter, and account for every message
    ///
    /// Node 0 is the one bootnode that all others know; discovery finds each at least 4 peers, or
    /// all others where there are fewer. Half-way a quarter of the nodes is killed, the bootnode
    /// among them; they come back with the same keys and ports, and nothing else that they knew.
    ///
    /// The last line tells the fewest peers that any node had before the kills and at the end, and
    /// "delivered X/Y": Y messages were sent, and X of them are acknowledged by the other end as
    /// whole and in order, in all sessions that no kill ended. When the time is over, every session
    /// completes 500 messages each way and tells how many there were; then the account is taken.
    /// The exit code is 0 only if X equals Y, each node has exchanged everything with that many
    /// peers, the network is in one part, and nothing else went wrong: a message that was missing,
    /// doubled, out of order or changed, or a session that ended without a kill after both ends
    /// had greeted.
    Devnet(DevnetArgs),
    /// Speak node discovery v4
    #[command(subcommand)]
    Discv4(Discv4Command),
    /// Speak node discovery v5
    #[command(subcommand)]
    Discv5(Discv5Command),
    /// Read and make node lists in DNS (EIP-1459)
    #[command(subcommand)]
    Dns(DnsCommand),
    /// Work with node keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Run a node until it is interrupted
    ///
    /// Prints its enode URL and its record, and then a line for everything that happens to it.
    #[command(after_help = SOURCES)]
    Run(Box<RunArgs>),
}

/// Where options come from, below the help of `run`.
const SOURCES: &str = "\
Every option can be told in four places, each of which wins over those before it: its default; the \
file of --config; the environment, as DEVP2P_MAXPEERS=25 for --maxpeers 25, with _ for each dot and \
hyphen; the command line. A list replaces the one of another place.";

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new key and write it to a file that does not exist yet
    Generate(KeyFile),
    /// Print the node id
    ToId(KeyFile),
    /// Print the enode URL
    ToEnode(Endpoint),
    /// Print the node record (ENR)
    ToEnr(Endpoint),
    /// Print the PeerId of libp2p
    ToPeerId(KeyFile),
}

#[derive(Debug, Args)]
pub(crate) struct KeyFile {
    /// The key file: 64 hex digits as geth's nodekey, or libp2p's protobuf
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Endpoint {
    #[command(flatten)]
    pub(crate) key: KeyFile,
    /// The IP address of the node
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) ip: IpAddr,
    /// The TCP port of the node; 0 for none
    #[arg(long, value_name = "PORT", default_value_t = 30303)]
    pub(crate) tcp: u16,
    /// The UDP port of the node; 0 for none
    #[arg(long, value_name = "PORT", default_value_t = 30303)]
    pub(crate) udp: u16,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Discv4Command {
    /// Run a node of discovery alone, which prints its record, until it is interrupted
    ///
    /// With --events or --json, prints a line per event too.
    Listen(ListenArgs),
    #[command(flatten)]
    Ask(AskCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Discv5Command {
    /// Run a node of discovery alone, which prints its record, until it is interrupted
    ///
    /// With --events or --json, prints a line per event too.
    Listen(Discv5ListenArgs),
    #[command(flatten)]
    Ask(AskCommand),
    /// Send a node a request of another protocol (TALKREQ), and print the answer
    ///
    /// The answer is printed as --request is written. An empty one, 0x, may say that the node does
    /// not know the protocol.
    Talk(TalkArgs),
}

/// What a node of either version can be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum AskCommand {
    /// Ping a node, and print how long the answer took
    Ping(AskArgs),
    /// Ask a node for its record, and print it
    #[command(name = "requestenr")]
    RequestEnr(AskArgs),
    /// Find a node's newest record, and print it
    ///
    /// The node is asked itself where its address is known, and looked for among other nodes where
    /// it does not answer.
    Resolve(AskArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// Print a line per event; --json prints them in any case
    #[arg(long)]
    pub(crate) events: bool,
    #[command(flatten)]
    pub(crate) discovery: DiscoveryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Discv5ListenArgs {
    /// Answer requests of this protocol (TALKREQ) with what they hold: text, or hex digits after 0x
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) echo: Option<TextOrHex>,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// The node: an enode URL or a record (ENR)
    pub(crate) node: Node,
    /// Ask again while there is no answer, for so many seconds; otherwise each is asked once
    #[arg(long, value_name = "SECONDS", default_value_t = 0,
        value_parser = clap::value_parser!(u16).range(0..=3_600))]
    pub(crate) timeout: u16,
    #[command(flatten)]
    pub(crate) discovery: DiscoveryArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TalkArgs {
    /// The name of the protocol: text, or hex digits after 0x
    #[arg(long)]
    pub(crate) protocol: TextOrHex,
    /// The request: text, or hex digits after 0x
    #[arg(long, default_value = "")]
    pub(crate) request: TextOrHex,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DiscoveryArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// The UDP address of this node; port 0 takes a free one. Otherwise all addresses of the machine
    /// of the IP version with which the node that is asked can be reached, and a free port
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) addr: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) search: SearchArgs,
    /// Print JSON: one object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who the node is.
#[derive(Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct KeyArgs {
    /// The file with the node's key; without a key, and without a folder to keep it in, one is made
    /// that lasts until the end
    #[arg(long, value_name = "FILE", conflicts_with = "nodekeyhex")]
    pub(crate) nodekey: Option<PathBuf>,
    /// The node's key as 64 hex digits; other users of this machine can see it
    #[arg(long, value_name = "HEX")]
    pub(crate) nodekeyhex: Option<String>,
}

impl std::fmt::Debug for KeyArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyArgs").field("nodekey", &self.nodekey).finish_non_exhaustive()
    }
}

/// Where discovery begins.
#[derive(Debug, Default, Args)]
pub(crate) struct SearchArgs {
    /// The nodes to begin with, in place of the network's; may be given more than once
    #[arg(long, value_name = "NODE,..", value_delimiter = ',', value_parser = parse_bootnode)]
    pub(crate) bootnodes: Vec<Node>,
    /// The public network whose bootnodes to begin with; `run` speaks eth for its chain
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Option<Network>,
    /// The file that remembers nodes, and the number of our record; made where there is none
    #[arg(long, value_name = "FILE")]
    pub(crate) nodedb: Option<PathBuf>,
}

impl SearchArgs {
    /// The nodes that this version of discovery begins with.
    pub(crate) fn bootnodes(&self, version: DiscoveryVersion) -> Result<Vec<Node>, Failure> {
        match self.network {
            Some(network) if self.bootnodes.is_empty() => {
                network.bootnodes(version).map_err(Failure::work)
            }
            _ => Ok(self.bootnodes.clone()),
        }
    }
}

/// Versions of discovery, on one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Versions {
    /// Version 4
    V4,
    /// Version 5
    V5,
    /// Both on one port
    #[default]
    Both,
}

impl Versions {
    /// Whether this one is among them.
    pub(crate) fn has(self, version: DiscoveryVersion) -> bool {
        match self {
            Self::V4 => version == DiscoveryVersion::V4,
            Self::V5 => version == DiscoveryVersion::V5,
            Self::Both => true,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DevnetArgs {
    /// How many nodes, from 2 to 64
    // 64 nodes keep clear of 1,024 open files, the usual limit for a process.
    #[arg(long, value_name = "N", default_value_t = 16,
        value_parser = clap::value_parser!(u16).range(2..=64))]
    pub(crate) nodes: u16,
    /// How long the nodes exchange messages, in seconds, from 2 to 3600
    #[arg(long, value_name = "N", default_value_t = 20,
        value_parser = clap::value_parser!(u16).range(2..=3_600))]
    pub(crate) seconds: u16,
    /// The versions of discovery that the nodes find each other with
    #[arg(long, value_name = "VERSION", value_enum, default_value_t)]
    pub(crate) discovery: Versions,
    /// Without discovery: every node has 8 others as static nodes
    #[arg(long = "static", conflicts_with = "discovery")]
    pub(crate) is_static: bool,
}

/// Reads the command line, or says how to exit: what was wrong is one line on stderr.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, ExitCode> {
    Cli::try_parse_from(args).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nobody is left to tell when stdout is closed.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Failure::arguments("a command is missing, see devp2p --help").report()
        }
        _ => Failure::arguments(why(&error)).report(),
    })
}

/// What is wrong with a command line, on one line.
pub(crate) fn why(error: &clap::Error) -> String {
    let text = one_line(&error.render().to_string());
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

/// A node that can be dialed, once its address is known.
pub(crate) fn parse_static(text: &str) -> Result<Node, String> {
    let node: Node = text.parse().map_err(|error| format!("{error}"))?;
    if node.host().is_some() && node.tcp_port().is_none() {
        return Err("it has no tcp port to dial".to_owned());
    }
    Ok(node)
}

/// A node that can be asked for others, once its name is looked up.
pub(crate) fn parse_bootnode(text: &str) -> Result<Node, String> {
    let node: Node = text.parse().map_err(|error| format!("{error}"))?;
    match node.host() {
        Some(Host::Dns(_)) if node.udp_port().is_some() => Ok(node),
        _ if node.udp_addr().is_some() => Ok(node),
        _ => Err("it has no udp endpoint to ask".to_owned()),
    }
}
