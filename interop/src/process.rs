use std::{
    collections::VecDeque,
    fmt::{Debug, Write as _},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use devp2p_core::{Node, Record};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin},
    sync::mpsc,
    time::{self, Instant},
};

use crate::Event;

/// How many events may wait for the test to look at them. A child whose events nobody takes
/// stops in the end; no test comes near.
const EVENT_QUEUE: usize = 16 * 1024;

/// How much of a child's stderr is kept for the report of a failure, in bytes.
const STDERR_KEPT: usize = 16 * 1024;

/// How long an event may take that nothing but the speed of the machine delays.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a batch of messages may take.
pub(crate) const BATCH_PATIENCE: Duration = Duration::from_secs(60);

/// A child process that takes commands and gives events, one JSON object a line. It is killed
/// when this is dropped.
#[derive(Debug)]
pub(crate) struct Process<E = Event> {
    name: String,
    stdin: ChildStdin,
    events: mpsc::Receiver<E>,
    /// Events that arrived while another was waited for.
    passed: VecDeque<E>,
    stderr: Arc<Mutex<String>>,
    child: Child,
}

impl<E: DeserializeOwned + Debug + Send + 'static> Process<E> {
    pub(crate) fn spawn(name: &str, command: Command) -> Self {
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (sender, events) = mpsc::channel(EVENT_QUEUE);
        let kept = Arc::default();
        let stdout = stdout.expect("stdout is piped");
        tokio::spawn(read_events(stdout, sender, Arc::clone(&kept)));
        tokio::spawn(keep(stderr.expect("stderr is piped"), Arc::clone(&kept)));
        Self {
            name: name.to_owned(),
            stdin: stdin.expect("stdin is piped"),
            events,
            passed: VecDeque::new(),
            stderr: kept,
            child,
        }
    }

    pub(crate) async fn command(&mut self, command: Value) {
        let line = format!("{command}\n");
        let written = self.stdin.write_all(line.as_bytes()).await;
        written.unwrap_or_else(|error| panic!("{} takes no command: {error}", self.report()));
    }

    /// The first event, past or future, of which `pick` makes something; the ones that it passes
    /// over stay for later calls.
    pub(crate) async fn expect<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut pick: impl FnMut(&E) -> Option<T>,
    ) -> T {
        let found = self.passed.iter().enumerate().find_map(|(at, event)| Some((at, pick(event)?)));
        if let Some((at, picked)) = found {
            self.passed.remove(at);
            return picked;
        }
        let deadline = now() + within;
        loop {
            match time::timeout_at(deadline, self.events.recv()).await {
                Ok(Some(event)) => match pick(&event) {
                    Some(picked) => return picked,
                    None => self.passed.push_back(event),
                },
                Ok(None) => panic!("{} ended; expected: {what}", self.report()),
                Err(_) => panic!("{} did not give within {within:?}: {what}", self.report()),
            }
        }
    }

    /// Forgets the events so far.
    pub(crate) fn forget(&mut self) {
        self.passed.clear();
        while self.events.try_recv().is_ok() {}
    }

    /// The events so far of which `pick` makes something; they stay.
    pub(crate) fn seen<T>(&mut self, pick: impl FnMut(&E) -> Option<T>) -> Vec<T> {
        while let Ok(event) = self.events.try_recv() {
            self.passed.push_back(event);
        }
        self.passed.iter().filter_map(pick).collect()
    }

    /// The operating system's number for it.
    pub(crate) fn number(&self) -> u32 {
        self.child.id().expect("the process has not ended")
    }

    /// Kills it without a goodbye and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        let killed = self.child.kill().await;
        killed.unwrap_or_else(|error| panic!("{} cannot be killed: {error}", self.name));
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self, within: Duration) {
        match time::timeout(within, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            other => panic!("{} did not end well: {other:?}", self.report()),
        }
    }

    /// What a failed test needs to know.
    fn report(&self) -> String {
        let mut report = format!("{}\n", self.name);
        for event in &self.passed {
            let _ = writeln!(report, "  event: {event:?}");
        }
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        for line in stderr.lines() {
            let _ = writeln!(report, "  stderr: {line}");
        }
        report + &self.name
    }
}

impl Process {
    /// The node that it says it is, once it listens, by its URL if it has one.
    pub(crate) async fn ready(&mut self) -> (Node, Option<Record>) {
        let (enode, enr) = self
            .expect("ready", PATIENCE, |event| match event {
                Event::Ready { enode, enr } => Some((enode.clone(), enr.clone())),
                _ => None,
            })
            .await;
        let record = (!enr.is_empty()).then(|| enr.parse().expect("a peer prints a good record"));
        let node = match &record {
            Some(record) if enode.is_empty() => Node::from_record(Record::clone(record)),
            _ => enode.parse().expect("a peer prints a good URL"),
        };
        (node, record)
    }
}

#[expect(clippy::disallowed_methods, reason = "deadlines for real processes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

async fn read_events<E: DeserializeOwned>(
    stdout: impl AsyncRead + Unpin,
    events: mpsc::Sender<E>,
    kept: Arc<Mutex<String>>,
) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(event) => {
                if events.send(event).await.is_err() {
                    return;
                }
            }
            Err(error) => keep_line(&kept, &format!("stdout has no event: {error}: {line}")),
        }
    }
}

async fn keep(stderr: impl AsyncRead + Unpin, kept: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        keep_line(&kept, &line);
    }
}

fn keep_line(kept: &Mutex<String>, line: &str) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < STDERR_KEPT {
        kept.push_str(line);
        kept.push('\n');
    }
}
