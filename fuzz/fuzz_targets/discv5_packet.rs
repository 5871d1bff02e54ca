//! A datagram of discv5: as it comes, masked to us with any header, and a handshake with any
//! authdata that answers a challenge of ours.
#![no_main]

use aes::Aes128;
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use devp2p_discv5::{
    crypto::{SessionKey, SessionSecrets, SharedSecret, id_digest},
    handshake::Challenge,
    wire::{
        Envelope, MAX_PACKET_SIZE, MIN_PACKET_SIZE, Masking, Nonce, Packet, PacketKind, Proof,
        ProtocolId, WhoAreYou,
    },
};
use devp2p_fuzz::{
    keys::{EPHEMERAL, INITIATOR, RECIPIENT},
    memory::bounded,
    script::Script,
};
use libfuzzer_sys::fuzz_target;

const IV_SIZE: usize = 16;
const HEADER_START: usize = 39;

fuzz_target!(|data: &[u8]| {
    // Made once, and not within the bound.
    let (sender, receiver) = (&*INITIATOR, &*RECIPIENT);
    let masking = Masking::new(receiver.id(), ProtocolId::default());
    let mut script = Script::new(data);
    let bytes = match script.pick(3) {
        0 => script.rest().to_vec(),
        1 => mask(script.rest()),
        _ => return handshake(&masking, script),
    };
    let read = bounded(bytes.len(), || {
        let read = masking.peek(&bytes).map(|peek| (peek, masking.decode_peeked(&peek)));
        (0, read)
    });
    let (peek, packet) = match read {
        Ok(read) => read,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(masking.decode(&bytes).map(|_| ()), Err(error));
            return;
        }
    };
    assert!((MIN_PACKET_SIZE..=MAX_PACKET_SIZE).contains(&bytes.len()));
    let Ok(packet) = packet else { return };
    assert_eq!(packet.kind(), peek.kind());
    // Whatever was read is written the same.
    match packet {
        Packet::Ordinary(packet) => {
            assert_eq!(packet.nonce(), peek.nonce());
            let envelope = Envelope {
                masking_iv: *packet.message_ad().first_chunk().expect("an IV"),
                nonce: packet.nonce(),
                src_id: packet.src_id(),
            };
            let written = masking.encode_ordinary(&envelope, packet.message());
            assert_eq!(written.expect("as large as before"), bytes);
        }
        Packet::WhoAreYou(whoareyou) => {
            assert_eq!(whoareyou.request_nonce(), peek.nonce());
            assert_eq!(whoareyou.encode(&masking)[..], bytes);
        }
        Packet::Handshake(packet) => {
            let whoareyou = challenge(0);
            let challenge = Challenge::from_whoareyou(packet.src_id(), whoareyou, None);
            // Nobody can answer this one.
            assert!(challenge.accept(receiver, &packet).is_err());
            let challenge = Challenge::from_whoareyou(sender.id(), whoareyou, None);
            assert!(challenge.accept(receiver, &packet).is_err());
        }
    }
});

/// A handshake that is genuine but for what the input changes. The sender may send any record, and
/// nobody is taken for it without its key.
fn handshake(masking: &Masking, mut script: Script<'_>) {
    let (sender, receiver) = (&*INITIATOR, &*RECIPIENT);
    let (flip_signature, flip_key, other_key) = (script.byte(), script.byte(), script.pick(2) == 1);
    let whoareyou = challenge(u64::from(script.byte()));
    let record = script.string();
    let message = script.rest();

    let mut ephemeral_key = EPHEMERAL.public_key().to_compressed();
    ephemeral_key[usize::from(flip_key) % 33] ^= flip_key;
    let digest = id_digest(&whoareyou, &ephemeral_key, &receiver.id());
    let mut id_signature = sender.sign(&digest);
    id_signature[usize::from(flip_signature) % 64] ^= flip_signature;
    let shared = SharedSecret::between(&EPHEMERAL, &receiver.public_key());
    let secrets = SessionSecrets::derive(&shared, &whoareyou, &sender.id(), &receiver.id());
    let key = SessionKey::new(if other_key { &[7; 16] } else { secrets.initiator_key() });

    let record = (!record.is_empty()).then_some(record);
    let proof = Proof { id_signature, ephemeral_key, record };
    let envelope =
        Envelope { masking_iv: [1; 16], nonce: Nonce::new([2; 12]), src_id: sender.id() };
    let Ok(datagram) = masking.seal_handshake(&envelope, &proof, &key, message) else {
        return;
    };
    let packet = match masking.decode(&datagram) {
        Ok(Packet::Handshake(packet)) => packet,
        // More than a record can have.
        Ok(packet) => panic!("{packet:?}"),
        Err(_) => return assert!(record.is_some_and(|record| record.len() > 300)),
    };
    assert_eq!(packet.record(), record);
    let challenge = Challenge::from_whoareyou(sender.id(), whoareyou, None);
    match challenge.accept(receiver, &packet) {
        Ok(accepted) => {
            assert_eq!((flip_signature, flip_key, other_key), (0, 0, false));
            assert_eq!(accepted.message, message);
            assert_eq!(accepted.record.id(), sender.id());
            assert!(accepted.record.seq() >= whoareyou.enr_seq());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn challenge(enr_seq: u64) -> WhoAreYou {
    WhoAreYou::new(ProtocolId::default(), [3; 16], Nonce::new([4; 12]), [5; 16], enr_seq)
}

/// The datagram whose header is, before it is masked, at the front of these bytes: the kind, and
/// what follows the nonce.
fn mask(bytes: &[u8]) -> Vec<u8> {
    let mut script = Script::new(bytes);
    let flag = script.one_of(PacketKind::ALL).flag();
    let rest = script.rest();
    let authdata_size = rest.first_chunk().map_or(0, |size| u16::from_be_bytes(*size));
    let fields: [&[u8]; 5] = [&[6; IV_SIZE], b"discv5\0\x01", &[flag], &[8; 12], rest];
    let mut datagram = fields.concat();
    let header_size = (HEADER_START + usize::from(authdata_size)).min(datagram.len());
    let id = RECIPIENT.id();
    let key: &[u8; 16] = id.as_bytes().first_chunk().expect("32 bytes");
    let mut cipher = Ctr128BE::<Aes128>::new(key.into(), &[6; IV_SIZE].into());
    cipher.apply_keystream(&mut datagram[IV_SIZE..header_size]);
    datagram
}
