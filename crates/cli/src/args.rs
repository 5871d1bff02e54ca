//! The command line.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use clap::{ArgAction, Args, Parser, Subcommand, error::ErrorKind};
use devp2p_core::Node;

use crate::{
    eth::ForkId,
    failure::{Failure, one_line},
    hex,
};

/// Node keys, a devp2p node to run, and a network of whole nodes on loopback.
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
    /// Start many whole nodes on loopback, kill a quarter, and account for every message
    Devnet(DevnetArgs),
    /// Work with node keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Run a node until it is interrupted
    Run(RunArgs),
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

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The file with the node's key; without a key one is made that lasts until the end
    #[arg(long, value_name = "FILE", conflicts_with = "nodekeyhex")]
    pub(crate) nodekey: Option<PathBuf>,
    /// The node's key as 64 hex digits; other users of this machine can see it
    #[arg(long, value_name = "HEX")]
    pub(crate) nodekeyhex: Option<String>,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:30303")]
    pub(crate) addr: SocketAddr,
    /// A node to stay connected with; may be given more than once
    #[arg(long = "static", value_name = "NODE", value_parser = parse_static)]
    pub(crate) static_nodes: Vec<Node>,
    /// A node that may always connect; may be given more than once
    #[arg(long = "trusted", value_name = "NODE")]
    pub(crate) trusted_nodes: Vec<Node>,
    /// How many peers may be connected
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) maxpeers: u16,
    /// The client's name
    #[arg(long, value_name = "S")]
    pub(crate) name: Option<String>,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) eth: Option<EthArgs>,
}

/// The chain to speak eth/68 and eth/69 for, up to Status.
#[derive(Clone, Debug, Args)]
pub(crate) struct EthArgs {
    /// Speak eth/68 and eth/69 up to Status: the network id
    #[arg(long, value_name = "N", required = false, requires_all = ["genesis", "fork_id"])]
    pub(crate) network_id: u64,
    /// The hash of the genesis block
    #[arg(long, value_name = "HASH", required = false, requires = "network_id",
        value_parser = hex::parse::<32>)]
    pub(crate) genesis: [u8; 32],
    /// The fork id (EIP-2124): hash, or hash and next fork as in 07c9462e/1700000000
    #[arg(long, value_name = "HASH[/NEXT]", required = false, requires = "network_id")]
    pub(crate) fork_id: ForkId,
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
        _ => {
            let text = one_line(&error.render().to_string());
            Failure::arguments(text.strip_prefix("error: ").unwrap_or(&text)).report()
        }
    })
}

/// A node that can be dialed: there is no discovery that could find its address.
fn parse_static(text: &str) -> Result<Node, String> {
    let node: Node = text.parse().map_err(|error| format!("{error}"))?;
    match node.host() {
        None => Err("it has no address to dial".to_owned()),
        Some(_) if node.tcp_port().is_none() => Err("it has no tcp port to dial".to_owned()),
        Some(_) => Ok(node),
    }
}
