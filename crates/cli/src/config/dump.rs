//! Writing a configuration file.

use std::fmt::Write as _;

use super::{Settings, keys};

/// The settings as a file that loads to the same, but for a key that was told by its digits and the
/// login of a proxy: a secret stays where it was. What is not set is in a comment.
pub(crate) fn dump(mut settings: Settings) -> String {
    let mut text = HEADER.to_owned();
    let mut line = |line: &str| {
        // Nothing fails that writes to a text.
        let _ = writeln!(text, "{line}");
    };
    for table in keys::tables().iter().filter(|table| !table.keys.is_empty()) {
        line("");
        comment(table.about).for_each(|it| line(&it));
        line(&format!("[{}]", table.name));
        for key in &table.keys {
            line("");
            comment(key.about).for_each(|it| line(&it));
            match key.write(&mut settings) {
                Some(value) => line(&format!("{} = {value}", key.name)),
                None => line(&format!("# {} = {}", key.name, key.example)),
            }
        }
    }
    text
}

/// What every file begins with.
const HEADER: &str = "\
# Configuration of `devp2p run --config FILE`, with geth's keys where geth has them. A flag wins over
# an environment variable (DEVP2P_MAXPEERS for --maxpeers), which wins over this file, which wins
# over the default.
";

fn comment(about: &str) -> impl Iterator<Item = String> {
    about.lines().map(|line| format!("# {line}"))
}
