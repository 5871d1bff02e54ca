//! Disconnect in all the forms that are seen, plain and compressed.
#![no_main]

use devp2p_fuzz::memory::bounded;
use devp2p_peer::DisconnectReason;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let reason = bounded(data.len(), || (0, DisconnectReason::decode(data)));
    assert_eq!(DisconnectReason::from_code(reason.code()), reason);
    assert!(!reason.to_string().is_empty());

    let encoded = reason.encode();
    assert_eq!(DisconnectReason::decode(&encoded), reason, "what we write can be read");
    assert_eq!(DisconnectReason::decode(&compress(&encoded)), reason, "and compressed");
    // Compressing a payload that is not compressed itself does not change what it says.
    let is_plain = !data.is_empty() && data.len() <= 60 && !looks_compressed(data);
    if is_plain {
        assert_eq!(DisconnectReason::decode(&compress(data)), reason, "compressed");
    }
});

/// Snappy's block of one short literal.
fn compress(plain: &[u8]) -> Vec<u8> {
    let length = u8::try_from(plain.len()).expect("at most 60 bytes");
    [&[length, (length - 1) << 2], plain].concat()
}

fn looks_compressed(data: &[u8]) -> bool {
    matches!(data, [length, tag, rest @ ..]
        if usize::from(*length) == rest.len() && !rest.is_empty()
            && u16::from(*tag) == (u16::from(*length) - 1) << 2)
}
