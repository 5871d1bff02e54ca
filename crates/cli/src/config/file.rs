//! Reading a configuration file.

use std::{fs, ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use tracing::warn;

use super::{
    Settings, did_you_mean,
    keys::{self, Table},
    value::{Value, Wrong},
};
use crate::failure::Failure;

/// Sets what a file tells. What it does not tell stays as it is.
pub(super) fn load(path: &Path, settings: &mut Settings) -> Result<(), Failure> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::arguments(format!("--config {name}: {error}")))?;
    let found = read(&text, settings);
    if !found.problems.is_empty() {
        let lines: Vec<_> = found.problems.iter().map(|it| format!("{name}:{it}")).collect();
        return Err(Failure::arguments(lines.join("; ")));
    }
    if !found.ignored.is_empty() {
        warn!("{name}: nothing to this program, and ignored: {}", found.ignored.join(", "));
    }
    Ok(())
}

/// What there is to say of a text.
#[derive(Debug, Default)]
struct Found {
    /// What cannot be used, each with its line in front.
    problems: Vec<String>,
    /// Tables, and keys of other tables, that are known to be nothing to this program.
    ignored: Vec<String>,
}

fn read(text: &str, settings: &mut Settings) -> Found {
    let root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(error) => {
            let line = line(text, &error.span().unwrap_or_default());
            let problems = vec![format!("{line}: {}", error.message())];
            return Found { problems, ..Found::default() };
        }
    };
    let mut reader =
        Reader { tables: keys::tables(), settings, problems: Vec::new(), ignored: Vec::new() };
    reader.table("", root.get_ref());
    let Reader { mut problems, ignored, .. } = reader;
    problems.sort_by_key(|(at, _)| at.start);
    let problems = problems.iter().map(|(at, why)| format!("{}: {why}", line(text, at)));
    Found { problems: problems.collect(), ignored }
}

struct Reader<'a> {
    tables: Vec<Table>,
    settings: &'a mut Settings,
    problems: Vec<(Range<usize>, String)>,
    ignored: Vec<String>,
}

impl Reader<'_> {
    /// Reads the table with this name.
    fn table(&mut self, name: &str, values: &DeTable<'_>) {
        for (key, value) in values {
            let path = join(name, key.get_ref());
            if self.tables.iter().any(|table| table.name == path) {
                match value.get_ref() {
                    DeValue::Table(values) => self.table(&path, values),
                    _ => self.wrong(value.span(), &path, "wants a table"),
                }
            } else {
                self.value(name, key, value, &path);
            }
        }
    }

    /// Reads a value of the table with this name.
    fn value(&mut self, name: &str, key: &Spanned<impl AsRef<str>>, value: &Value<'_>, path: &str) {
        let word = key.get_ref().as_ref();
        let Some(table) = self.tables.iter().find(|table| table.name == name) else { return };
        if let Some(known) = table.keys.iter().find(|known| known.name == word) {
            if let Err(Wrong { at, why }) = known.read(self.settings, value) {
                self.wrong(at, path, &why);
            }
        } else if table.ignored.contains(&word) {
            self.ignored.push(path.to_owned());
        } else if table.ignored.contains(&keys::ANY) {
            let part = if matches!(value.get_ref(), DeValue::Table(_)) { path } else { name };
            if !self.ignored.iter().any(|known| known == part) {
                self.ignored.push(part.to_owned());
            }
        } else {
            let why = self.unknown(table, word);
            self.wrong(key.span(), path, &why);
        }
    }

    fn wrong(&mut self, at: Range<usize>, path: &str, why: &str) {
        self.problems.push((at, format!("{path}: {why}")));
    }

    /// What to say of a key that is not in the table.
    fn unknown(&self, table: &Table, word: &str) -> String {
        let below = self.tables.iter().filter_map(|other| {
            let (above, last) = other.name.rsplit_once('.').unwrap_or(("", other.name));
            (above == table.name && !last.is_empty()).then_some(last)
        });
        let known: Vec<_> = table.keys.iter().map(|key| key.name).chain(below).collect();
        let others = table.ignored.iter().copied();
        match did_you_mean(word, known.iter().copied().chain(others)) {
            Some(meant) => format!("is not known: did you mean {meant}?"),
            None => format!("is not known: there are {}", known.join(", ")),
        }
    }
}

fn join(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// The number of the line that a place in the text is on.
fn line(text: &str, at: &Range<usize>) -> usize {
    let before = text.as_bytes().get(..at.start).unwrap_or_default();
    before.iter().filter(|&&byte| byte == b'\n').count().saturating_add(1)
}
