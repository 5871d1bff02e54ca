//! Key files on a real file system.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use devp2p_core::{NodeKey, NodeKeyError};

const HEX: &str = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291";

/// An empty folder for one test.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("key_file").join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn load(content: impl AsRef<[u8]>, path: &Path) -> Result<NodeKey, NodeKeyError> {
    fs::write(path, content).unwrap();
    NodeKey::load(path)
}

#[test]
fn geth_s_files_are_read_with_or_without_an_end_of_line() {
    let path = folder("read").join("nodekey");
    let key = NodeKey::from_hex(HEX).unwrap();
    for end in ["", "\n", "\r\n"] {
        assert_eq!(load(format!("{HEX}{end}"), &path).unwrap(), key, "{end:?}");
    }
    assert_eq!(load(HEX.to_uppercase(), &path).unwrap(), key);
    assert_eq!(*key.to_hex(), HEX);
}

#[test]
fn bad_files_are_told_apart() {
    let path = folder("bad").join("nodekey");
    let error = |content: &[u8]| load(content, &path).unwrap_err();
    for (content, length) in [
        (String::new(), 0),
        ("\n".to_owned(), 0),
        (HEX[1..].to_owned(), 63),
        (format!("{HEX}0"), 65),
        (format!("0x{HEX}"), 66),
        (format!("{HEX}\n\n"), 65),
        (format!("{HEX} \n"), 65),
    ] {
        let error = error(content.as_bytes());
        assert!(matches!(error, NodeKeyError::Length { found } if found == length), "{content:?}");
    }
    assert!(matches!(error(&[b'a'; 1 << 20]), NodeKeyError::Length { .. }));
    assert!(matches!(error(HEX.replace('b', "g").as_bytes()), NodeKeyError::Digit));
    assert!(matches!(error(&[0xff; 64]), NodeKeyError::Digit));
    assert!(matches!(error(&[b'0'; 64]), NodeKeyError::OutOfRange));
    assert!(matches!(error(&[b'f'; 64]), NodeKeyError::OutOfRange));

    let missing = NodeKey::load(path.with_file_name("missing")).unwrap_err();
    assert!(matches!(missing, NodeKeyError::Io(error) if error.kind() == io::ErrorKind::NotFound));
    assert!(matches!(NodeKey::load(path.parent().unwrap()), Err(NodeKeyError::Io(_))));
}

#[test]
fn a_missing_file_is_made_once_with_its_folders() {
    let folder = folder("create");
    let path = folder.join("a/b/nodekey");
    let key = NodeKey::load_or_create(&path).unwrap();
    assert_eq!(NodeKey::load_or_create(&path).unwrap(), key);
    assert_eq!(NodeKey::load(&path).unwrap(), key);
    assert_eq!(fs::read_to_string(&path).unwrap(), *key.to_hex());
    // Nothing is left of the writing.
    assert_eq!(fs::read_dir(folder.join("a/b")).unwrap().count(), 1);

    // A file that cannot be read is never replaced.
    fs::write(&path, "not a key").unwrap();
    assert!(matches!(NodeKey::load_or_create(&path), Err(NodeKeyError::Length { found: 9 })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "not a key");
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let path = folder("mode").join("new/nodekey");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    NodeKey::load_or_create(&path).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    // Replacing narrows what was wide.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    NodeKey::from_hex(HEX).unwrap().save(&path).unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn saving_replaces_or_keeps() {
    let folder = folder("save");
    let path = folder.join("nodekey");
    let (one, two) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    one.save_new(&path).unwrap();
    let error = two.save_new(&path).unwrap_err();
    assert!(
        matches!(error, NodeKeyError::Io(error) if error.kind() == io::ErrorKind::AlreadyExists)
    );
    assert_eq!(NodeKey::load(&path).unwrap(), one);
    two.save(&path).unwrap();
    assert_eq!(NodeKey::load(&path).unwrap(), two);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn of_many_that_create_at_once_all_get_one_key() {
    let path = folder("race").join("nodekey");
    let ids: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| NodeKey::load_or_create(&path).unwrap().id())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let stored = NodeKey::load(&path).unwrap().id();
    assert!(ids.iter().all(|&id| id == stored), "{ids:?}");
}

#[cfg(feature = "libp2p")]
#[test]
fn libp2p_s_files_are_read_and_written() {
    let path = folder("protobuf").join("key");
    let key = NodeKey::from_hex(HEX).unwrap();
    key.save_protobuf(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let pair = libp2p_identity::Keypair::from_protobuf_encoding(&bytes).unwrap();
    assert_eq!(pair.public().to_peer_id(), key.peer_id());
    assert_eq!(NodeKey::load_protobuf(&path).unwrap(), key);

    fs::write(&path, HEX).unwrap();
    assert!(matches!(NodeKey::load_protobuf(&path), Err(NodeKeyError::Protobuf)));
    let missing = NodeKey::load_protobuf(path.with_file_name("missing"));
    assert!(matches!(missing, Err(NodeKeyError::Io(_))));
}
