//! The text of a record: `enr:` and base64.
#![no_main]

use devp2p_core::{Node, Record};
use devp2p_fuzz::memory::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // As a list of a node's entries, it is read the same whoever asks.
    let as_node = text.parse::<Node>();
    let record = match bounded(text.len(), || (0, text.parse::<Record>())) {
        Ok(record) => record,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(!text.starts_with("enr:") || as_node.is_err());
            return;
        }
    };
    assert_eq!(record.to_string(), text, "there is one text for a record");
    assert_eq!(Record::decode(record.as_bytes()).as_ref(), Ok(&record));
    let node = as_node.expect("a record is a node");
    assert_eq!((node.id(), node.record()), (record.id(), Some(&record)));
    assert_eq!(node.to_enr().as_deref(), Some(text));
});
