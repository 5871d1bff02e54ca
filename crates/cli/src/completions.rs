//! `devp2p completions`.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::{args::Cli, failure::Failure, output};

/// Prints the script for a shell.
pub(crate) fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "devp2p", &mut script);
    output::text(&String::from_utf8_lossy(&script))
}
