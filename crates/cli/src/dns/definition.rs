//! A list on the disk: enrtree-info.json and nodes.json.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use devp2p_core::{NodeId, Record};
use devp2p_dnsdisc::{Link, SignedTree};
use serde_json::{Map, Value, json};

use crate::failure::Failure;

const INFO: &str = "enrtree-info.json";
const NODES: &str = "nodes.json";

/// A list as it is edited.
pub(super) struct Definition {
    pub(super) info: Info,
    pub(super) records: Vec<Record>,
}

impl Definition {
    /// Reads the files of a directory; nodes.json has to be there.
    pub(super) fn read(directory: &Path) -> Result<Self, Failure> {
        let info = Info::read(directory)?;
        let path = directory.join(NODES);
        let Some(nodes) = read_object(&path)? else {
            return Err(bad_file(&path, "there is no such file"));
        };
        let records = nodes.iter().map(|(id, node)| {
            read_node(id, node).map_err(|why| bad_file(&path, format!("node {id}: {why}")))
        });
        Ok(Self { info, records: records.collect::<Result<_, _>>()? })
    }
}

/// What a list is besides its nodes.
#[derive(Default)]
pub(super) struct Info {
    pub(super) url: Option<Link>,
    pub(super) seq: u64,
    pub(super) signature: Option<String>,
    pub(super) links: Vec<Link>,
    /// When it was written, as the time since 1970.
    pub(super) modified: Option<Duration>,
}

impl Info {
    /// Of a tree that is signed; the links in the order in which it was made of them.
    pub(super) fn of(tree: &SignedTree, links: Vec<Link>) -> Self {
        Self {
            url: Some(tree.link().clone()),
            seq: tree.root().seq(),
            signature: Some(tree.root().signature()),
            links,
            modified: None,
        }
    }

    fn read(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(INFO);
        let Some(info) = read_object(&path)? else { return Ok(Self::default()) };
        Self::parse(&info).map_err(|why| bad_file(&path, why))
    }

    fn parse(info: &Map<String, Value>) -> Result<Self, String> {
        let text = |key: &str| match info.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{key} is not a text")),
        };
        let link = |text: &str| text.parse::<Link>().map_err(|error| format!("{text}: {error}"));
        let links = match info.get("links") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(links)) => links
                .iter()
                .map(|value| link(value.as_str().ok_or("links are not texts")?))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err("links is not a list".to_owned()),
        };
        let seq = info.get("seq").map_or(Some(0), Value::as_u64);
        Ok(Self {
            url: text("url")?.map(|url| link(&url)).transpose()?,
            seq: seq.ok_or("seq is not a number of 64 bits")?,
            signature: text("signature")?,
            links,
            modified: None,
        })
    }

    /// Writes enrtree-info.json.
    pub(super) fn write(&self, directory: &Path) -> Result<(), Failure> {
        let links: Vec<_> = self.links.iter().map(Link::to_string).collect();
        let info = json!({
            "url": self.url.as_ref().map(Link::to_string),
            "seq": self.seq,
            "signature": self.signature,
            "links": links,
            "lastModified": Time(self.modified.unwrap_or_default()).to_string(),
        });
        write_file(&directory.join(INFO), &format!("{info:#}\n"))
    }
}

/// Writes nodes.json.
pub(super) fn write_nodes(
    directory: &Path,
    records: &BTreeMap<NodeId, Record>,
) -> Result<(), Failure> {
    let nodes = records.iter().map(|(id, record)| {
        (id.to_string(), json!({ "seq": record.seq(), "record": record.to_string() }))
    });
    let nodes = Value::Object(nodes.collect());
    write_file(&directory.join(NODES), &format!("{nodes:#}\n"))
}

/// Other members than these, which crawlers write, say nothing here.
fn read_node(id: &str, node: &Value) -> Result<Record, String> {
    let id: NodeId = id.parse().map_err(|error| format!("{error}"))?;
    let text = node.get("record").and_then(Value::as_str).ok_or("it has no record")?;
    let record: Record = text.parse().map_err(|error| format!("{error}"))?;
    if record.id() != id {
        return Err(format!("the record is of {}", record.id()));
    }
    if node.get("seq").is_some_and(|seq| seq.as_u64() != Some(record.seq())) {
        return Err("seq is not that of the record".to_owned());
    }
    Ok(record)
}

/// The object in a file, where there is such a file.
fn read_object(path: &Path) -> Result<Option<Map<String, Value>>, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(bad_file(path, error)),
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(bad_file(path, "it is not an object")),
        Err(error) => Err(bad_file(path, error)),
    }
}

/// Writes a file anew, so that whoever reads it finds the old one or the new one.
pub(super) fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        bad_file(path, error)
    })
}

pub(super) fn bad_file(path: &Path, why: impl fmt::Display) -> Failure {
    Failure::arguments(format!("{}: {why}", path.display()))
}

/// A time since 1970 as RFC 3339 has it, to the second.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        let (mut days, clock) = (secs / 86_400, secs % 86_400);
        let mut year = 1970_u64;
        let is_leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        loop {
            let length = if is_leap(year) { 366 } else { 365 };
            if days < length {
                break;
            }
            days -= length;
            year += 1;
        }
        let february = if is_leap(year) { 29 } else { 28 };
        let mut month = 1;
        for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        let (hour, minute, second) = (clock / 3_600, clock / 60 % 60, clock % 60);
        write!(f, "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", days + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let time = |secs| Time(Duration::from_secs(secs)).to_string();
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(time(951_868_799), "2000-02-29T23:59:59Z");
        assert_eq!(time(1_704_067_199), "2023-12-31T23:59:59Z");
        assert_eq!(time(1_735_603_200), "2024-12-31T00:00:00Z");
        assert_eq!(time(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
