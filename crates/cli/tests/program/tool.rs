//! Starting the program, and reading what it prints.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// What nothing that is waited for here takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_devp2p"));
    command.stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn devp2p<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    command().args(args).output().unwrap()
}

/// Runs the program to its end, which must be a good one, and gives what it printed.
pub(crate) fn stdout_of<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let output = devp2p(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
    String::from_utf8(output.stdout).unwrap()
}

/// A path for a file of one test, where there is no file yet.
pub(crate) fn fresh_path(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_file(&path);
    path
}

/// The program while it runs; killed at the latest when this is dropped.
pub(crate) struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub(crate) fn start<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let mut command = command();
        let command = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// The next line.
    pub(crate) fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|_| panic!("no further line after {:#?}", self.seen));
        self.seen.push(line.clone());
        line
    }

    /// The next event with this name, of those printed with `--json`; others are skipped.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        loop {
            let event: Value = serde_json::from_str(&self.line()).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Sends a signal, and gives the exit code and stderr.
    #[cfg(unix)]
    pub(crate) fn signal(self, signal: &str) -> (Option<i32>, String) {
        let (code, _, stderr) = self.signal_and_rest(signal);
        (code, stderr)
    }

    /// Sends a signal, and gives the exit code, the lines that were not taken yet, and stderr.
    #[cfg(unix)]
    pub(crate) fn signal_and_rest(self, signal: &str) -> (Option<i32>, Vec<String>, String) {
        let kill = format!("kill -s {signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        self.exit()
    }

    /// Waits for the end.
    #[cfg(unix)]
    fn exit(mut self) -> (Option<i32>, Vec<String>, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "still running after {:#?}", self.seen);
            thread::sleep(Duration::from_millis(5));
        };
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let rest = self.lines.iter().collect();
        (status.code(), rest, stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
