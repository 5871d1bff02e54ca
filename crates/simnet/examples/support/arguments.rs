//! What a program is told: `--name value`, in any order.

use std::collections::BTreeMap;

use super::setup::Discoveries;

/// The values by name.
#[derive(Debug)]
pub(crate) struct Arguments(BTreeMap<String, String>);

impl Arguments {
    /// Those of this process, of which only the names that are listed are known.
    pub(crate) fn read(names: &[&str]) -> Self {
        let mut values = BTreeMap::new();
        let mut rest = std::env::args().skip(1);
        while let Some(argument) = rest.next() {
            let name = argument.strip_prefix("--").filter(|name| names.contains(name));
            match (name, rest.next()) {
                (Some(name), Some(value)) => _ = values.insert(name.to_owned(), value),
                _ => fail(&format!("{argument}? There is {}, each with a value", names.join(", "))),
            }
        }
        Self(values)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Those of `--discovery`, both by default.
    pub(crate) fn discoveries(&self) -> Discoveries {
        let name = self.text("discovery").unwrap_or("both");
        Discoveries::named(name).unwrap_or_else(|| fail(&format!("there is no discovery {name}")))
    }

    pub(crate) fn number(&self, name: &str, default: u64) -> u64 {
        match self.text(name).map(str::parse) {
            None => default,
            Some(Ok(number)) => number,
            Some(Err(_)) => fail(&format!("--{name} is no number")),
        }
    }
}

fn fail(what: &str) -> ! {
    eprintln!("{what}");
    std::process::exit(2);
}
