//! A message of discv5, as it comes out of its seal.
#![no_main]

use bytes::Bytes;
use devp2p_core::Record;
use devp2p_discv5::message::{Body, MAX_DISTANCE, MAX_RECORDS, Message};
use devp2p_fuzz::memory::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let message = match bounded(bytes.len(), || (0, Message::decode(&bytes))) {
        Ok(message) => message,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    match &message.body {
        Body::FindNode(find_node) => {
            assert!(find_node.distances.iter().all(|&distance| distance <= MAX_DISTANCE));
        }
        Body::Nodes(nodes) => {
            assert!(nodes.records.len() <= MAX_RECORDS);
            for record in &nodes.records {
                // What is verified is what came.
                if let Ok(verified) = Record::decode(record) {
                    assert_eq!(verified.as_bytes(), record);
                }
            }
        }
        Body::Pong(pong) => assert!(pong.endpoint().port() == pong.port),
        Body::Ping(_) | Body::TalkRequest(_) | Body::TalkResponse(_) => {}
    }
    // What is read can be written, in no more bytes, and reads the same.
    let written = message.to_bytes().expect("what was read can be written");
    assert!(written.len() <= bytes.len());
    assert_eq!(Message::decode(&written), Ok(message));
});
