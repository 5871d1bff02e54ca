use std::{fmt, path::Path, process::ExitCode};

use devp2p_server::NodeDbError;

/// Why the program did not do what it was asked for; one line on stderr.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments, or a file that they name, cannot work. Exit code 2.
    Arguments(String),
    /// Something failed at work and has been told already. Exit code 1.
    Told,
    /// Something failed at work. Exit code 1.
    Work(String),
}

impl Failure {
    /// An argument cannot work.
    pub(crate) fn arguments(why: impl fmt::Display) -> Self {
        Self::Arguments(why.to_string())
    }

    /// Something failed at work.
    pub(crate) fn work(why: impl fmt::Display) -> Self {
        Self::Work(why.to_string())
    }

    /// The file of `--nodedb` cannot be used; one that another process has may be free the next time.
    pub(crate) fn node_db(file: &Path, error: &NodeDbError) -> Self {
        let why = format!("--nodedb {}: {error}", file.display());
        match error {
            NodeDbError::InUse => Self::Work(why),
            _ => Self::Arguments(why),
        }
    }

    /// Prints the line and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let code = match self {
            Self::Arguments(_) => 2,
            Self::Told => return ExitCode::FAILURE,
            Self::Work(_) => 1,
        };
        eprintln!("error: {self}");
        ExitCode::from(code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arguments(why) | Self::Work(why) => f.write_str(&one_line(why)),
            Self::Told => f.write_str("told already"),
        }
    }
}

/// The first paragraph of a text as one line.
pub(crate) fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}
