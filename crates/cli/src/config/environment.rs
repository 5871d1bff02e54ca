//! The environment as a source of options: a variable for each flag of `run`.

use std::ffi::{OsStr, OsString};

use clap::{CommandFactory as _, Parser as _};
use tracing::warn;

use super::{RunArgs, did_you_mean};
use crate::{
    args::{self, Cli, Command},
    failure::Failure,
};

/// What the names of all variables begin with.
const PREFIX: &str = "DEVP2P_";

/// The options of each variable that is set, in the order of the flags. One that is empty counts as
/// not set.
pub(super) fn layers(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<RunArgs>, Failure> {
    let told: Vec<_> = variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
        .collect();
    let flags = flags();
    let of = |variable: &str| {
        let (_, value) = told.iter().find(|(name, _)| name == variable)?;
        Some(value.as_os_str())
    };
    let layers = flags
        .iter()
        .filter_map(|flag| {
            let variable = variable(flag);
            of(&variable).map(|value| layer(&variable, flag, value))
        })
        .collect();
    for (name, _) in &told {
        let known: Vec<_> = flags.iter().map(|flag| variable(flag)).collect();
        if !known.contains(name)
            && let Some(meant) = did_you_mean(name, known.iter().map(String::as_str))
        {
            warn!("{name} is not known: did you mean {meant}?");
        }
    }
    layers
}

/// The options that a variable sets.
fn layer(variable: &str, flag: &str, value: &OsStr) -> Result<RunArgs, Failure> {
    let mut told = OsString::from(format!("--{flag}="));
    told.push(value);
    let line = [OsStr::new("devp2p"), OsStr::new("run"), &told];
    match Cli::try_parse_from(line).map(|cli| cli.command) {
        Ok(Command::Run(args)) => Ok(*args),
        Ok(_) => Err(Failure::arguments(format!("{variable} sets no flag of run"))),
        Err(error) => Err(Failure::arguments(format!("{variable}: {}", args::why(&error)))),
    }
}

/// The flags that have a variable: those of `run` alone.
fn flags() -> Vec<String> {
    let program = Cli::command();
    let run = program.find_subcommand("run");
    let flags = run.into_iter().flat_map(|run| run.get_arguments());
    flags.filter_map(|flag| flag.get_long().map(str::to_owned)).collect()
}

/// The name of the variable of a flag: of `http.addr`, `DEVP2P_HTTP_ADDR`.
fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_uppercase().replace(['.', '-'], "_"))
}
