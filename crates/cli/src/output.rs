//! What goes to stdout: plain lines, and events as text or JSON.

use std::{
    fmt,
    io::{self, Write as _, stdout},
};

use devp2p_core::NodeId;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::failure::Failure;

/// Prints one line to stdout.
pub(crate) fn line(text: &impl fmt::Display) -> Result<(), Failure> {
    writeln!(stdout().lock(), "{text}").map_err(not_written)
}

/// Prints lines to stdout.
pub(crate) fn text(lines: &str) -> Result<(), Failure> {
    stdout().lock().write_all(lines.as_bytes()).map_err(not_written)
}

fn not_written(error: io::Error) -> Failure {
    Failure::work(format!("cannot write to stdout: {error}"))
}

/// One event: its name, and named values in the order in which they are shown.
///
/// As text it is `name key=value ...`, without values that are null, and with quotes around a
/// text that has other characters than those of ids, addresses and capabilities.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    event: &'static str,
    peer: Option<NodeId>,
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    /// An event without values.
    pub(crate) const fn new(event: &'static str) -> Self {
        Self { event, peer: None, fields: Vec::new() }
    }

    /// An event about a peer.
    pub(crate) fn of_peer(event: &'static str, id: NodeId) -> Self {
        let line = Self { peer: Some(id), ..Self::new(event) };
        line.with("id", id.to_string())
    }

    /// Whether it is an event of this name.
    pub(crate) fn is(&self, event: &str) -> bool {
        self.event == event
    }

    /// The peer that it is about.
    pub(crate) const fn peer(&self) -> Option<NodeId> {
        self.peer
    }

    /// Adds a value.
    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((key, value.into()));
        self
    }

    /// Adds a value as it is displayed.
    pub(crate) fn show(self, key: &'static str, value: impl fmt::Display) -> Self {
        self.with(key, value.to_string())
    }

    /// Adds a value as it is displayed, or null.
    pub(crate) fn show_some(self, key: &'static str, value: Option<impl fmt::Display>) -> Self {
        self.with(key, value.map(|value| value.to_string()))
    }

    /// The event as a JSON object on one line, the name as `event`.
    pub(crate) fn to_json(&self) -> String {
        let mut object = format!("{{\"event\":{}", Value::from(self.event));
        for (key, value) in &self.fields {
            object.push_str(&format!(",{}:{value}", Value::from(*key)));
        }
        object.push('}');
        object
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.event)?;
        for (key, value) in &self.fields {
            match value {
                Value::Null => {}
                Value::String(text) => write!(f, " {key}={}", Text(text))?,
                Value::Array(items) => {
                    let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
                    write!(f, " {key}={}", Text(&items.join(",")))?;
                }
                value => write!(f, " {key}={value}")?,
            }
        }
        Ok(())
    }
}

/// Prints events, as text or as JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    pub(crate) json: bool,
}

impl Printer {
    /// Prints one event.
    pub(crate) fn print(self, event: &Line) -> Result<(), Failure> {
        if self.json { line(&event.to_json()) } else { line(event) }
    }
}

/// A text that may come from a remote: in quotes, with escapes, where it is more than a word.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,[]@?=".contains(&byte);
        if !self.0.is_empty() && self.0.bytes().all(plain) {
            f.write_str(self.0)
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

/// How many events of subprotocols may wait to be printed; one that comes then waits, and its
/// peer with it.
pub(crate) const WAITING_LINES: usize = 256;

/// What subprotocols report events to.
#[derive(Clone, Debug)]
pub(crate) struct Reporter(mpsc::Sender<Line>);

/// A reporter, and where its events arrive.
pub(crate) fn reporter() -> (Reporter, mpsc::Receiver<Line>) {
    let (sender, receiver) = mpsc::channel(WAITING_LINES);
    (Reporter(sender), receiver)
}

impl Reporter {
    /// Reports an event.
    pub(crate) async fn report(&self, line: Line) {
        // An error says that the program ends and prints nothing more.
        let _ = self.0.send(line).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_as_text_and_as_json() {
        let line = Line::new("add")
            .with("name", "Geth/v1.16\n evil=\"x\"")
            .with("caps", vec!["demo/1", "eth/69"])
            .show("addr", "[::1]:30303")
            .with("inbound", true)
            .show_some("error", None::<&str>)
            .with("empty", "");
        assert_eq!(
            line.to_string(),
            r#"add name="Geth/v1.16\n evil=\"x\"" caps=demo/1,eth/69 addr=[::1]:30303 inbound=true empty="""#
        );
        assert_eq!(
            line.to_json(),
            r#"{"event":"add","name":"Geth/v1.16\n evil=\"x\"","caps":["demo/1","eth/69"],"addr":"[::1]:30303","inbound":true,"error":null,"empty":""}"#
        );
    }
}
