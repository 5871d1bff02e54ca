//! Node keys as text, in geth's key files, and in libp2p's protobuf encoding.
#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use devp2p_core::{NodeKey, NodeKeyError, PublicKey};
use devp2p_fuzz::memory::bounded;
use libfuzzer_sys::fuzz_target;

/// One file for this process, written anew for every input.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("devp2p-fuzz-key-{}", std::process::id())));

fuzz_target!(|data: &[u8]| {
    let text = std::str::from_utf8(data).ok();
    let from_text = text.map(|text| bounded(text.len(), || (0, NodeKey::from_hex(text))));
    if let Some(Ok(key)) = &from_text {
        let digits = key.to_hex();
        assert!(digits.eq_ignore_ascii_case(text.expect("it was read")));
        let protobuf = key.to_protobuf();
        let again = NodeKey::from_protobuf(&protobuf).expect("what we write can be read");
        assert_eq!(again.id(), key.id());
        assert_eq!(PublicKey::from_peer_id(&key.peer_id()), Ok(key.public_key()));
    }
    if let Ok(key) = bounded(data.len(), || (0, NodeKey::from_protobuf(data))) {
        let again = NodeKey::from_protobuf(&key.to_protobuf()).expect("ours can be read");
        assert_eq!(again.id(), key.id());
    }
    // A file takes long to write: only where its length may make a difference.
    if (60..=70).contains(&data.len()) || data.len() > 250 {
        check_file(data);
    }
});

/// A file is read as its text without an end of line.
fn check_file(data: &[u8]) {
    fs::write(&*FILE, data).expect("the folder for temporary files can be written to");
    let loaded = bounded(data.len(), || (0, NodeKey::load(&*FILE)));
    let line = data.strip_suffix(b"\n").unwrap_or(data);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match (loaded, std::str::from_utf8(line).ok().map(NodeKey::from_hex)) {
        (Ok(loaded), Some(Ok(key))) => assert_eq!(loaded.id(), key.id()),
        (Ok(_), _) => panic!("the file holds no key"),
        (Err(error), Some(Ok(_))) => panic!("the file holds a key: {error}"),
        (Err(error), _) => assert!(!matches!(error, NodeKeyError::Io(_)), "{error}"),
    }
}
