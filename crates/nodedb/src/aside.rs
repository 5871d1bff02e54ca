//! Files that are no use: out of the way, but not away.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// How many such files are kept, the newest. One to look at, and one before that in case that the
/// new file is damaged in the same way.
const KEPT: usize = 2;

/// What their names have after that of the file, before the time.
const INFIX: &str = ".damaged-";

/// Renames the file to `FILE.damaged-<unix time>` and deletes all but the newest of such files.
pub(crate) fn move_aside(path: &Path, now_unix: u64) -> io::Result<PathBuf> {
    let before = moved_before(path);
    // Never a name that is taken, and never one that looks older than another.
    let newest = before.last().map(|&(time, _)| time);
    let time = newest.map_or(now_unix, |newest| now_unix.max(newest.saturating_add(1)));
    let mut to = OsString::from(path);
    to.push(format!("{INFIX}{time}"));
    let to = PathBuf::from(to);
    fs::rename(path, &to)?;
    let surplus = before.len().saturating_sub(KEPT.saturating_sub(1));
    for (_, old) in before.into_iter().take(surplus) {
        // A leftover does no harm.
        let _ = fs::remove_file(old);
    }
    Ok(to)
}

/// The files that were moved aside earlier, the oldest first.
fn moved_before(path: &Path) -> Vec<(u64, PathBuf)> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Vec::new();
    };
    let time_of = |found: &str| found.strip_prefix(name)?.strip_prefix(INFIX)?.parse().ok();
    let mut files: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((time_of(entry.file_name().to_str()?)?, entry.path())))
        .collect();
    files.sort_unstable();
    files
}
