//! Hello, read and written again, and the capabilities that come of it.
#![no_main]

use devp2p_fuzz::memory::bounded;
use devp2p_peer::{Capability, Hello, id, share_capabilities};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let hello = match bounded(data.len(), || (0, Hello::decode(data))) {
        Ok(hello) => hello,
        Err(error) => {
            assert!(!error.to_string().is_empty() && error.reason().code() != 0);
            return;
        }
    };
    assert!(data.len() <= Hello::MAX_SIZE);
    assert!(hello.name.len() <= Hello::MAX_NAME && !hello.name.chars().any(char::is_control));
    assert!(hello.capabilities.iter().all(|capability| {
        let name = capability.name.as_bytes();
        !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
    }));
    survives(&hello);
    shares(&hello);
});

fn survives(hello: &Hello) {
    let encoded = hello.encode();
    // A name of bytes that are no text grows when it is shown.
    if encoded.len() <= Hello::MAX_SIZE {
        let mut sorted = hello.clone();
        sorted.capabilities.sort();
        let again = Hello::decode(&encoded).expect("what we write can be read");
        assert_eq!(again, sorted);
        assert_eq!(again.encode(), encoded);
    }
}

fn shares(hello: &Hello) {
    let own = [
        (Capability::new("eth", 68), 17),
        (Capability::new("eth", 69), 18),
        (Capability::new("snap", 1), 8),
        (Capability::new("zz", 1), u64::MAX - 40),
    ];
    let mut next = id::BASE_LENGTH;
    let mut last_name = None;
    for shared in share_capabilities(&own, &hello.capabilities) {
        assert!(hello.capabilities.contains(&shared.capability), "the remote does not have it");
        assert!(own.contains(&(shared.capability.clone(), shared.length)), "we do not have it");
        assert_eq!(shared.offset, next, "a hole or an overlap in the message ids");
        next = shared.offset.checked_add(shared.length).expect("ids of 64 bits");
        assert!(last_name.as_ref() < Some(&shared.capability.name), "two versions of one name");
        last_name = Some(shared.capability.name);
    }
}
