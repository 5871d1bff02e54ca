//! Payloads in snappy's block format, as a session's ingress decompresses them, held against the
//! `snap` crate; and compression there and back.
#![no_main]

use bytes::BytesMut;
use devp2p_fuzz::{
    forge::{self, Forger},
    memory::bounded,
    script::Script,
};
use devp2p_rlpx::{Egress, Ingress, MAX_FRAME_SIZE, OpenError, snappy};
use libfuzzer_sys::fuzz_target;
use snap::raw::{Decoder, decompress_len};

const LIMITS: [usize; 4] = [0, 300, 64 * 1024, MAX_FRAME_SIZE];

/// Any id but Disconnect's, which is let through when it is not snappy.
const ID: u64 = 0x10;

fuzz_target!(|data: &[u8]| {
    let mut script = Script::new(data);
    let limit = script.one_of(&LIMITS);
    decompress(script.rest(), limit);
    there_and_back(script.rest());
});

fn decompress(payload: &[u8], limit: usize) {
    let mut ingress = Ingress::new(&forge::secrets());
    ingress.established(limit, true);
    let mut wire = BytesMut::from(&Forger::new().frame(&forge::body(ID, payload))[..]);
    let received = wire.len();
    let result = bounded(received, || {
        let result = ingress.open(&mut wire);
        let delivered = result.as_ref().ok().and_then(Option::as_ref);
        (delivered.map_or(0, |message| message.payload.len()), result)
    });
    let result = match result {
        Err(OpenError::FrameTooLarge) => {
            assert!(payload.len() > limit, "it has room for what cannot be compressed");
            return;
        }
        other => other.map(|message| message.expect("the whole frame is there").payload),
    };
    match decompress_len(payload) {
        _ if payload.is_empty() => assert_eq!(result, Err(OpenError::Snappy)),
        Ok(declared) if declared > limit => assert_eq!(result, Err(OpenError::MessageTooLarge)),
        _ => {
            let oracle = Decoder::new().decompress_vec(payload).map_err(|_| OpenError::Snappy);
            assert!(result.as_deref() == oracle.as_deref(), "{result:?}, {oracle:?}");
        }
    }
}

fn there_and_back(plain: &[u8]) {
    let compressed = snappy::compress(plain).expect("less than 4 GiB");
    let secrets = forge::secrets();
    let (mut egress, mut ingress) = (Egress::new(&secrets), Ingress::new(&secrets));
    egress.established(MAX_FRAME_SIZE, true);
    ingress.established(MAX_FRAME_SIZE, true);
    let mut wire = BytesMut::new();
    egress.seal(ID, plain, &mut wire).expect("it fits");
    egress.seal_compressed(ID, &compressed, &mut wire).expect("it fits");
    for _ in 0..2 {
        let message = ingress.open(&mut wire).expect("genuine").expect("a whole frame");
        assert_eq!(message.payload, plain);
    }
    assert!(wire.is_empty());
}
