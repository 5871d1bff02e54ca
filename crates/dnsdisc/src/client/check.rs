//! What answers of DNS are worth, each looked at by itself.

use devp2p_core::PublicKey;

use super::MAX_TXT_RECORDS;
use crate::{Entry, EntryName, Root, RootError, SyncError, Txt, root};

/// What the text of anything in a tree begins with.
const ANY_PREFIX: &[u8] = b"enr";

/// The entry of this name, among whatever else has that name.
pub(super) fn entry(name: &EntryName, answer: &[Txt]) -> Result<Entry, SyncError> {
    let texts = || answer.iter().take(MAX_TXT_RECORDS).map(Txt::as_bytes);
    if let Some(text) = texts().find(|text| text.len() <= Entry::MAX_SIZE && name.is_of(text)) {
        let text = std::str::from_utf8(text).map_err(|_| SyncError::NoEntry)?;
        return text.parse().map_err(SyncError::Entry);
    }
    Err(if texts().any(|text| text.len() > Entry::MAX_SIZE) {
        SyncError::TooLarge
    } else if texts().any(|text| text.starts_with(ANY_PREFIX)) {
        SyncError::Hash
    } else {
        SyncError::NoEntry
    })
}

/// The newest root by this key.
pub(super) fn root(key: &PublicKey, answer: &[Txt]) -> Result<Root, SyncError> {
    let texts = answer.iter().take(MAX_TXT_RECORDS).map(Txt::as_bytes);
    let roots = texts.filter(|text| text.starts_with(root::ANY_PREFIX.as_bytes()));
    let mut best: Result<Root, SyncError> = Err(SyncError::NoEntry);
    for text in roots {
        if text.len() > Entry::MAX_SIZE {
            best = best.or(Err(SyncError::TooLarge));
            continue;
        }
        let text = std::str::from_utf8(text).map_err(|_| RootError::Syntax);
        let root = text.and_then(str::parse).and_then(|root: Root| {
            root.verify(key)?;
            Ok(root)
        });
        best = match (best, root) {
            (Ok(best), Ok(root)) if best.seq() >= root.seq() => Ok(best),
            (_, Ok(root)) => Ok(root),
            (Ok(best), Err(_)) => Ok(best),
            (Err(_), Err(error)) => Err(SyncError::Root(error)),
        };
    }
    best
}
