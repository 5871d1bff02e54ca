//! The published examples of the base protocol.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use devp2p_peer::{Capability, DisconnectReason, Hello, share_capabilities};
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/p2p-base.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    let digits: Vec<u8> = text.bytes().collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A Hello of EIP-8: another version, unknown capabilities, more elements at the end.
#[test]
fn hello_of_the_future() {
    let vectors = vectors();
    let vector = &vectors["hello_eip8"];
    let expected = &vector["decoded"];
    let hello = Hello::decode(&bytes(&vector["payload"])).unwrap();
    assert_eq!(hello.version, expected["version"].as_u64().unwrap());
    assert_eq!(hello.name, expected["client_id"].as_str().unwrap());
    assert_eq!(u64::from(hello.listen_port), expected["listen_port"].as_u64().unwrap());
    assert_eq!(hello.public_key.as_bytes().to_vec(), bytes(&expected["node_id"]));
    let capabilities: Vec<_> = expected["capabilities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| Capability::new(pair[0].as_str().unwrap(), pair[1].as_u64().unwrap()))
        .collect();
    assert_eq!(hello.capabilities, capabilities);
    assert!(hello.snappy());

    // What we make of it ourselves is the same without the elements that we do not know.
    let extra: usize =
        expected["extra_elements"].as_array().unwrap().iter().map(|e| bytes(e).len()).sum();
    let mut ours = bytes(&vector["payload"]);
    ours.truncate(ours.len() - extra);
    ours[1] -= u8::try_from(extra).unwrap();
    assert_eq!(hello.encode(), ours);
}

#[test]
fn disconnects() {
    let vectors = vectors();
    let list = vectors["disconnect"].as_array().unwrap();
    assert_eq!(list.len(), 13);
    for vector in list {
        let code = u8::try_from(vector["reason"].as_u64().unwrap()).unwrap();
        let reason = DisconnectReason::from_code(code);
        assert!(!matches!(reason, DisconnectReason::Other(_)));
        let payload = bytes(&vector["payload"]);
        assert_eq!(DisconnectReason::decode(&payload), reason);
        assert_eq!(reason.encode(), payload);
        // The same with snappy: length, tag of a literal, the bytes.
        let tag = u8::try_from((payload.len() - 1) << 2).unwrap();
        let compressed = [vec![u8::try_from(payload.len()).unwrap(), tag], payload].concat();
        assert_eq!(DisconnectReason::decode(&compressed), reason);
    }
}

#[test]
fn message_ids() {
    for vector in vectors()["message_id_offsets"].as_array().unwrap() {
        let own: Vec<_> = vector["shared"]
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|shared| {
                let capability =
                    Capability::new(shared[0].as_str().unwrap(), shared[1].as_u64().unwrap());
                (capability, shared[2].as_u64().unwrap())
            })
            .collect();
        let remote: Vec<_> = own.iter().map(|(capability, _)| capability.clone()).collect();
        let shared = share_capabilities(&own, &remote);
        let offsets = vector["offsets"].as_object().unwrap();
        assert_eq!(shared.len(), offsets.len());
        for shared in shared {
            assert_eq!(Some(shared.offset), offsets[&shared.capability.name].as_u64());
        }
    }
}
