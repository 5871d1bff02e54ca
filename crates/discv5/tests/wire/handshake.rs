//! The handshake: as published, between two nodes, and what makes no session.

use devp2p_core::{Fault, NodeId, NodeKey, PublicKey, Record, RecordError, Rng};
use devp2p_discv5::{
    crypto::{Identity, SessionKey, SessionSecrets, SharedSecret, id_digest},
    handshake::{Accepted, Challenge, HandshakeError, Initiator},
    wire::{
        EncodeError, Envelope, HandshakePacket, MIN_PACKET_SIZE, Nonce, Proof, ProtocolId,
        WhoAreYou,
    },
};
use serde_json::Value;

use crate::{
    Fixed, WIRE, bytes, handshake, id, key_a, key_b, list, masking, named, ordinary, parse, vec,
    whoareyou,
};

/// The challenge with this data, which is a packet without its masking.
fn challenge(data: &Value) -> WhoAreYou {
    let data: [u8; MIN_PACKET_SIZE] = bytes(data);
    let whoareyou = WhoAreYou::new(
        ProtocolId::default(),
        *data.first_chunk().unwrap(),
        Nonce::new(data[25..37].try_into().unwrap()),
        data[39..55].try_into().unwrap(),
        u64::from_be_bytes(*data.last_chunk().unwrap()),
    );
    assert_eq!(*whoareyou.challenge_data(), data);
    whoareyou
}

/// Node A's record in the vectors.
fn record_a() -> Record {
    Record::decode(&vec(&list(&parse(WIRE)["packets"])[3]["decoded"]["record"])).unwrap()
}

#[test]
fn the_secret_the_keys_and_the_signature_are_as_published() {
    let vectors = parse(WIRE);
    let key = |value: &Value| NodeKey::from_bytes(&bytes(value)).unwrap();

    let vector = &vectors["ecdh"];
    let remote = PublicKey::from_compressed(&vec(&vector["public_key"])).unwrap();
    let shared = SharedSecret::between(&key(&vector["secret_key"]), &remote);
    assert_eq!(shared.as_bytes()[..], vec(&vector["shared_secret"]));

    let vector = &vectors["key_derivation"];
    let remote = PublicKey::from_compressed(&vec(&vector["dest_pubkey"])).unwrap();
    let shared = SharedSecret::between(&key(&vector["ephemeral_key"]), &remote);
    assert_eq!(shared.as_bytes()[..], vec(&vector["shared_secret"]));
    let (a, b) = (id(&vector["node_id_a"]), id(&vector["node_id_b"]));
    let secrets = SessionSecrets::derive(&shared, &challenge(&vector["challenge_data"]), &a, &b);
    assert_eq!(secrets.initiator_key()[..], vec(&vector["initiator_key"]));
    assert_eq!(secrets.recipient_key()[..], vec(&vector["recipient_key"]));
    assert_eq!(format!("{secrets:?}"), "SessionSecrets(redacted)");
    let swapped = SessionSecrets::derive(&shared, &challenge(&vector["challenge_data"]), &b, &a);
    assert_ne!(secrets, swapped);
    let copy = SharedSecret::from_bytes(shared.as_bytes());
    let again = SessionSecrets::derive(&copy, &challenge(&vector["challenge_data"]), &a, &b);
    assert_eq!(secrets, again);

    let vector = &vectors["id_nonce_signing"];
    let whoareyou = challenge(&vector["challenge_data"]);
    let ephemeral = bytes(&vector["ephemeral_pubkey"]);
    let digest = id_digest(&whoareyou, &ephemeral, &id(&vector["node_id_b"]));
    assert_eq!(digest[..], vec(&vector["signed_hash"]));
    let key = key(&vector["static_key"]);
    let signature: [u8; 64] = bytes(&vector["id_signature"]);
    assert_eq!(Identity::sign(&key, &digest), signature);
    assert!(Identity::verify(&key, &key.public_key(), &digest, &signature));
    assert!(!Identity::verify(&key, &key_a().public_key(), &digest, &signature));
}

#[test]
fn both_published_handshakes_are_accepted_and_written_byte_for_byte() {
    let vectors = parse(WIRE);
    let mut known = None;
    // The one with a record first: it makes the record known to the other.
    for vector in list(&vectors["packets"])[2..].iter().rev() {
        let (inputs, decoded, datagram) =
            (&vector["inputs"], &vector["decoded"], vec(&vector["packet"]));
        let whoareyou = challenge(&inputs["whoareyou.challenge-data"]);
        let to_b = masking(key_b().id());
        let packet = handshake(&to_b, &datagram);
        let challenge = Challenge::from_whoareyou(key_a().id(), whoareyou, known.clone());
        let mut accepted = challenge.accept(&key_b(), &packet).unwrap();
        assert_eq!(accepted.message, vec(&decoded["message_plaintext"]));
        assert_eq!(accepted.record, record_a());
        known = Some(accepted.record);

        // What B sends then is sealed with the other key.
        let mut rng = Rng::from_seed([1; 32]);
        let to_a = masking(key_a().id());
        let answer = accepted.session.seal(&to_a, key_b().id(), b"answer", &mut rng).unwrap();
        let answer = ordinary(&to_a, &answer);
        let key = SessionKey::new(&bytes(&decoded["recipient_key"]));
        let opened = key.open(answer.nonce(), answer.message_ad(), answer.message());
        assert_eq!(opened.unwrap(), "answer");

        // A's part, whose key for the handshake is published as well. The nonce and the IV are
        // random, so the message is sealed again under those that were published.
        let ephemeral = NodeKey::from_bytes(&bytes(&inputs["ephemeral-key"])).unwrap();
        let alice = Fixed { key: key_a(), ephemeral };
        let initiator =
            Initiator::new(&alice, &record_a(), key_b().public_key(), &whoareyou, &mut rng);
        let message = vec(&decoded["message_plaintext"]);
        let (ours, unconfirmed) = initiator.seal(&to_b, &message, &mut rng).unwrap();
        assert_eq!(ours.len(), datagram.len());
        let ours = handshake(&to_b, &ours);
        assert_eq!(ours.record(), packet.record());
        let envelope = Envelope {
            masking_iv: bytes(&decoded["masking_iv"]),
            nonce: packet.nonce(),
            src_id: ours.src_id(),
        };
        let proof = Proof {
            id_signature: *ours.id_signature(),
            ephemeral_key: *ours.ephemeral_key(),
            record: ours.record(),
        };
        let key = SessionKey::new(&bytes(&decoded["initiator_key"]));
        assert!(key.open(ours.nonce(), ours.message_ad(), ours.message()).is_some());
        assert_eq!(to_b.seal_handshake(&envelope, &proof, &key, &message).unwrap(), datagram);
        assert_eq!(unconfirmed.confirm(&answer).unwrap().1, "answer");
    }
}

#[test]
fn forged_handshakes_make_no_session() {
    let vectors = parse(WIRE);
    let accept = |name: &str, known: Option<Record>| {
        let vector = named(&vectors["reject"], name);
        let datagram = vec(&vector["packet"]);
        // One is over the challenge that is told with it, and is to be shown another.
        let data = match name {
            "handshake_other_challenge" => {
                &list(&vectors["packets"])[1]["decoded"]["challenge_data"]
            }
            _ => &vector["challenge_data"],
        };
        let whoareyou = challenge(data);
        let challenge = Challenge::from_whoareyou(id(&vector["src_node_id"]), whoareyou, known);
        challenge.accept(&key_b(), &handshake(&masking(key_b().id()), &datagram)).map(|_| ())
    };
    let other = Err(HandshakeError::RecordId(key_a().id()));
    assert_eq!(accept("handshake_record_id_mismatch", None), other);
    let unsigned = Err(HandshakeError::IdSignature);
    assert_eq!(accept("handshake_wrong_signer", None), unsigned);
    assert_eq!(accept("handshake_wrong_signer", Some(record_a())), unsigned);
    assert_eq!(accept("handshake_other_challenge", Some(record_a())), unsigned);
    assert_eq!(accept("handshake_other_challenge", None), unsigned);
    assert_eq!(accept("handshake_missing_record", None), Err(HandshakeError::NoRecord));
    let record = Err(HandshakeError::Record(RecordError::Signature));
    assert_eq!(accept("handshake_bad_record_signature", None), record);
    assert_eq!(accept("handshake_bad_record_signature", Some(record_a())), record);
}

/// Alice, who begins, and Bob, with a challenge between them.
struct Scene {
    alice: NodeKey,
    bob: NodeKey,
    rng: Rng,
}

impl Scene {
    fn new() -> Self {
        Self { alice: key_a(), bob: key_b(), rng: Rng::from_seed([5; 32]) }
    }

    fn challenge(&mut self, known: Option<Record>) -> Challenge {
        let nonce = Nonce::random(&mut self.rng);
        let protocol = ProtocolId::default();
        Challenge::new(protocol, self.alice.id(), nonce, known, &mut self.rng)
    }

    fn record(&self, seq: u64) -> Record {
        Record::builder().seq(seq).sign(&self.alice).unwrap()
    }

    /// The proof that Alice makes, before anything is changed in it.
    fn initiator(&mut self, record: &Record, challenge: &Challenge) -> Initiator {
        let remote = self.bob.public_key();
        Initiator::new(&self.alice, record, remote, challenge.whoareyou(), &mut self.rng)
    }

    /// What comes of a challenge that Alice answers with her record.
    fn run(
        &mut self,
        record: &Record,
        known: Option<Record>,
    ) -> (bool, Result<Accepted, HandshakeError>) {
        let challenge = self.challenge(known);
        let initiator = self.initiator(record, &challenge);
        let to_bob = masking(self.bob.id());
        let (datagram, _) = initiator.seal(&to_bob, b"hello", &mut self.rng).unwrap();
        let packet = handshake(&to_bob, &datagram);
        (packet.record().is_some(), challenge.accept(&self.bob, &packet))
    }

    /// What comes of a handshake packet made by hand, its message sealed with the right key or not.
    fn forged(
        &mut self,
        record: Option<&[u8]>,
        change: impl FnOnce(&mut Proof<'_>, &mut SessionKey),
    ) -> Result<Accepted, HandshakeError> {
        let challenge = self.challenge(None);
        let (recipient, src_id) = (self.bob.id(), self.alice.id());
        let (ephemeral_key, shared) =
            Identity::ephemeral(&self.alice, &self.bob.public_key(), &mut self.rng);
        let secrets = SessionSecrets::derive(&shared, challenge.whoareyou(), &src_id, &recipient);
        let digest = id_digest(challenge.whoareyou(), &ephemeral_key, &recipient);
        let mut proof = Proof { id_signature: self.alice.sign(&digest), ephemeral_key, record };
        let mut key = SessionKey::new(secrets.initiator_key());
        change(&mut proof, &mut key);
        let nonce = Nonce::random(&mut self.rng);
        let envelope = Envelope::random(src_id, nonce, &mut self.rng);
        let to_bob = masking(recipient);
        let datagram = to_bob.seal_handshake(&envelope, &proof, &key, b"hello").unwrap();
        challenge.accept(&self.bob, &handshake(&to_bob, &datagram))
    }
}

#[test]
fn both_sides_get_one_session() {
    let mut scene = Scene::new();
    let (to_alice, to_bob) = (masking(scene.alice.id()), masking(scene.bob.id()));
    let record = scene.record(3);
    let challenge = scene.challenge(None);
    // Whoever is asked again sends the same again.
    let datagram = challenge.encode(&to_alice);
    assert_eq!(datagram, challenge.encode(&to_alice));
    let received = whoareyou(&to_alice, &datagram);
    assert_eq!(received, *challenge.whoareyou());

    let (bob, rng) = (scene.bob.public_key(), &mut scene.rng);
    let initiator = Initiator::new(&scene.alice, &record, bob, &received, rng);
    let (datagram, unconfirmed) = initiator.seal(&to_bob, b"hello", rng).unwrap();
    let accepted = challenge.accept(&scene.bob, &handshake(&to_bob, &datagram)).unwrap();
    assert_eq!((accepted.record, &*accepted.message), (record, &b"hello"[..]));
    let mut bobs = accepted.session;

    // What is not sealed with the new keys leaves the handshake unconfirmed.
    let stray = to_alice.random_packet(scene.bob.id(), rng);
    let unconfirmed = unconfirmed.confirm(&ordinary(&to_alice, &stray)).unwrap_err();
    let answer = bobs.seal(&to_alice, scene.bob.id(), b"world", rng).unwrap();
    let (mut alices, message) = unconfirmed.confirm(&ordinary(&to_alice, &answer)).unwrap();
    assert_eq!(message, "world");
    // The handshake packet was the first that her key has sealed, the answer the first of his.
    assert_eq!((alices.sealed(), bobs.sealed()), (1, 1));
    let next = alices.seal(&to_bob, scene.alice.id(), b"again", rng).unwrap();
    assert_eq!(bobs.open(&ordinary(&to_bob, &next)).unwrap(), "again");
}

#[test]
fn the_record_is_sent_where_it_is_not_known() {
    let mut scene = Scene::new();
    let [old, new] = [1, 2].map(|seq| scene.record(seq));
    for (record, known, is_sent) in
        [(&new, None, true), (&new, Some(&old), true), (&new, Some(&new), false)]
    {
        let (sent, accepted) = scene.run(record, known.cloned());
        assert_eq!(sent, is_sent);
        assert_eq!(accepted.unwrap().record, *record);
    }
    // One who has a newer record than we know of is sent none, and goes on with its own.
    let (sent, accepted) = scene.run(&old, Some(new.clone()));
    assert!(!sent);
    assert_eq!(accepted.unwrap().record, new);
    // 0 asks for the record, even for one with that number.
    let zero = scene.record(0);
    let (sent, accepted) = scene.run(&zero, None);
    assert!(sent);
    assert_eq!(accepted.unwrap().record, zero);
}

#[test]
fn a_record_that_is_sent_must_not_be_older() {
    let mut scene = Scene::new();
    let [old, new] = [6, 7].map(|seq| scene.record(seq));
    let challenge = scene.challenge(Some(new.clone()));
    let asked = |seq| {
        let nonce = challenge.whoareyou().request_nonce();
        WhoAreYou::new(ProtocolId::default(), [1; 16], nonce, [2; 16], seq)
    };
    // Made to send it, by a challenge with another number, which is signed all the same.
    let mut accept = |record: &Record, known: Option<Record>, seq| {
        let whoareyou = asked(seq);
        let challenge = Challenge::from_whoareyou(scene.alice.id(), whoareyou, known);
        let initiator = scene.initiator(record, &challenge);
        let to_bob = masking(scene.bob.id());
        let (datagram, _) = initiator.seal(&to_bob, b"", &mut scene.rng).unwrap();
        let packet = handshake(&to_bob, &datagram);
        assert!(packet.record().is_some());
        challenge.accept(&scene.bob, &packet).map(|accepted| accepted.record)
    };
    let error = HandshakeError::OldRecord { known: 7, sent: 6 };
    assert_eq!(accept(&old, Some(new.clone()), 0), Err(error));
    assert_eq!(accept(&new, Some(old.clone()), 6), Ok(new.clone()));
    assert_eq!(accept(&new, None, 6), Ok(new.clone()));
    assert_eq!(accept(&new, Some(new.clone()), 0), Ok(new));
    assert_eq!(error.to_string(), "record number 6 was sent, and 7 is known");
    assert_eq!(error.fault(), Fault::Remote);
}

#[test]
fn a_challenge_is_for_one_node() {
    let mut scene = Scene::new();
    let record = scene.record(1);
    let challenge = scene.challenge(None);
    let initiator = scene.initiator(&record, &challenge);
    let to_bob = masking(scene.bob.id());
    let (datagram, _) = initiator.seal(&to_bob, b"", &mut scene.rng).unwrap();
    let packet: HandshakePacket<'_> = handshake(&to_bob, &datagram);
    let other = NodeId::new([1; 32]);
    let challenge = Challenge::from_whoareyou(other, *challenge.whoareyou(), None);
    assert_eq!(challenge.src_id(), other);
    let error = challenge.accept(&scene.bob, &packet).unwrap_err();
    assert_eq!(error, HandshakeError::SrcId(scene.alice.id()));
}

#[test]
fn every_part_of_the_proof_counts() {
    let mut scene = Scene::new();
    let (record, mallory) = (scene.record(1), NodeKey::from_bytes(&[9; 32]).unwrap());
    let own = Some(record.as_bytes());
    assert_eq!(scene.forged(own, |_, _| {}).unwrap().message, "hello");

    let error = scene.forged(None, |_, _| {}).unwrap_err();
    assert_eq!(error, HandshakeError::NoRecord);
    let foreign = Record::builder().seq(1).sign(&mallory).unwrap();
    let error = scene.forged(Some(foreign.as_bytes()), |_, _| {}).unwrap_err();
    assert_eq!(error, HandshakeError::RecordId(mallory.id()));
    let cut = record.as_bytes().split_last().unwrap().1;
    let error = scene.forged(Some(cut), |_, _| {}).unwrap_err();
    assert_eq!(error, HandshakeError::Record(RecordError::Malformed));
    let longer = [record.as_bytes(), &[0]].concat();
    let error = scene.forged(Some(&longer), |_, _| {}).unwrap_err();
    assert_eq!(error, HandshakeError::Record(RecordError::TrailingBytes));

    for bit in [0, 255, 256, 511] {
        let flip = |proof: &mut Proof<'_>, _: &mut SessionKey| {
            proof.id_signature[bit / 8] ^= 1 << (bit % 8);
        };
        assert_eq!(scene.forged(own, flip).unwrap_err(), HandshakeError::IdSignature);
    }
    // Another key than the one that was signed, be it a key or not.
    let replace = |proof: &mut Proof<'_>, _: &mut SessionKey| {
        proof.ephemeral_key = mallory.public_key().to_compressed();
    };
    assert_eq!(scene.forged(own, replace).unwrap_err(), HandshakeError::IdSignature);
    let error = scene.forged(own, |_, key| *key = SessionKey::new(&[7; 16])).unwrap_err();
    assert_eq!(error, HandshakeError::Message);
}

/// Whoever signs rubbish is told no more than others: it is refused before it meets our key.
#[test]
fn an_ephemeral_key_off_the_curve_is_refused() {
    let mut scene = Scene::new();
    let record = scene.record(1);
    for bad in [[0; 33], [2; 33], [0xff; 33], [4; 33]] {
        if PublicKey::from_compressed(&bad).is_ok() {
            continue;
        }
        let challenge = scene.challenge(None);
        let digest = id_digest(challenge.whoareyou(), &bad, &scene.bob.id());
        let proof = Proof {
            id_signature: scene.alice.sign(&digest),
            ephemeral_key: bad,
            record: Some(record.as_bytes()),
        };
        let nonce = Nonce::random(&mut scene.rng);
        let envelope = Envelope::random(scene.alice.id(), nonce, &mut scene.rng);
        let (to_bob, key) = (masking(scene.bob.id()), SessionKey::new(&[1; 16]));
        let datagram = to_bob.seal_handshake(&envelope, &proof, &key, b"").unwrap();
        let error = challenge.accept(&scene.bob, &handshake(&to_bob, &datagram)).unwrap_err();
        assert_eq!(error, HandshakeError::EphemeralKey);
    }
}

#[test]
fn a_message_too_large_for_the_handshake_is_not_sent() {
    let mut scene = Scene::new();
    let record = scene.record(1);
    let to_bob = masking(scene.bob.id());
    let challenge = scene.challenge(None);
    let room = 1280 - 39 - 131 - record.as_bytes().len() - 16;
    let initiator = scene.initiator(&record, &challenge);
    let (datagram, _) = initiator.seal(&to_bob, &vec![0; room], &mut scene.rng).unwrap();
    assert_eq!(datagram.len(), 1280);
    let initiator = scene.initiator(&record, &challenge);
    let error = initiator.seal(&to_bob, &vec![0; room + 1], &mut scene.rng).unwrap_err();
    assert_eq!(error, EncodeError::Size(1281));
}
