//! `devp2p`: node keys, node discovery, a node to run, and a network of whole nodes on loopback.
//!
//! Events and results go to stdout, logs and errors to stderr. The exit code is 0 for success, 1
//! for a failure, and 2 for bad arguments.
#![forbid(unsafe_code)]

mod args;
mod attach;
mod clock;
mod completions;
mod config;
mod demo;
mod devnet;
mod discovery;
mod dns;
mod eth;
mod failure;
mod hex;
mod interrupts;
mod key;
mod metrics;
mod network;
mod output;
mod rpc;
mod run;
mod runtime;
#[cfg(test)]
mod testing;

use std::{
    io::{IsTerminal as _, stderr},
    process::ExitCode,
};

use tracing_subscriber::EnvFilter;

use crate::args::Command;

fn main() -> ExitCode {
    let cli = match args::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    log_to_stderr(cli.verbose);
    let result = match cli.command {
        Command::Attach(args) => attach::run(&args),
        Command::Completions(args) => completions::run(args.shell),
        Command::Devnet(args) => devnet::run(&args),
        Command::Discv4(command) => discovery::v4::run(command),
        Command::Discv5(command) => discovery::v5::run(command),
        Command::Dns(command) => dns::run(command),
        Command::Key(command) => key::run(command),
        Command::Run(args) => run::run(*args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Shows what the devp2p crates log at the level that was asked for, and warnings in any case.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // The targets of all our crates begin with this word.
    let filter = EnvFilter::new(format!("off,devp2p={level}"));
    let ansi = stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(ansi).init();
}
