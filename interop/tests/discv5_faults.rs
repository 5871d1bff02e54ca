//! What can be done to a node of discovery v5 over its socket. Ours has to withstand all of it;
//! what the others do is printed, and nobody asserts that it is wrong.

use std::{
    fmt::Write as _,
    io::{Write as _, stderr},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use devp2p_core::{LanPolicy, Node, NodeId, NodeKey, Record};
use devp2p_discv5::{
    Config, DropCause,
    crypto::{Identity, SessionKey, SessionSecrets, id_digest},
    message::{Body, FindNode, Message, Ping, RequestId, TalkRequest},
    session::Session,
    wire::{
        Envelope, MAX_PACKET_SIZE, MIN_PACKET_SIZE, Masking, Nonce, Proof, ProtocolId, WhoAreYou,
    },
};
use devp2p_interop::{
    Discv5Entry, Discv5Options, Discv5Program, ECHO, OurDiscv5, Target, WireNode,
};
use futures::future::BoxFuture;

/// The filter of sigp bans for an hour; a limit that only drops is over after this.
const LIMIT_IS_OVER: Duration = Duration::from_secs(2);

/// An attack on a node that it tells whether the node withstood it.
type Attack = for<'a> fn(&'a mut WireNode, &'a Target) -> BoxFuture<'a, bool>;

const ATTACKS: [(&str, Attack); 14] = [
    ("a record that is not the sender's makes no session", |us, it| Box::pin(forged_id(us, it))),
    ("bytes after a record make no session", |us, it| Box::pin(bytes_after_the_record(us, it))),
    ("a bad id signature makes no session", |us, it| Box::pin(bad_signature(us, it))),
    ("a bad id signature uses the challenge up", |us, it| Box::pin(second_attempt(us, it))),
    ("a handshake cannot be sent again", |us, it| Box::pin(replay(us, it))),
    ("a bad packet does not end a session", |us, it| Box::pin(bad_packet(us, it))),
    ("who is challenged is told the same again", |us, it| Box::pin(same_challenge(us, it))),
    ("packets too large are not answered", |us, it| Box::pin(too_large(us, it))),
    ("packets too small are not answered", |us, it| Box::pin(too_small(us, it))),
    ("the counter of the masking has 128 bits", |us, it| Box::pin(counter_carries(us, it))),
    ("PING with another element is answered", |us, it| Box::pin(longer_ping(us, it))),
    ("TALKREQ with another element is answered", |us, it| Box::pin(longer_talk(us, it))),
    ("a request without an id is answered", |us, it| Box::pin(empty_request_id(us, it))),
    ("a request with an id of 9 bytes is not", |us, it| Box::pin(long_request_id(us, it))),
];

#[tokio::test]
async fn ours_withstands_all_attacks() {
    let listen = Discv5Options::default().listen;
    let victim = OurDiscv5::start(listen, &[]).await;
    let target = Target::new(victim.record());
    for (name, attack) in ATTACKS {
        assert!(attack(&mut wire_node().await, &target).await, "not so: {name}");
    }

    let absent = wire_node().await.record().clone();
    let victim = OurDiscv5::start(listen, std::slice::from_ref(&absent)).await;
    assert!(!names(&Target::new(victim.record()), &absent).await);

    let (mut us, record) = impostor().await;
    let target = Target::new(victim.record());
    let node = Node::from_record(record.clone());
    let challenged = challenge_whoever_asks(&mut us, &target, record.id());
    assert!(tokio::join!(victim.handle.ping(&node), challenged).0.is_err());
    assert!(!victim.table().await.iter().any(|entry| entry.node.id() == record.id()));

    // By default there are no limits between nodes of a local network.
    let mut config = Config::default();
    config.lan_policy = LanPolicy::Limit;
    let victim = OurDiscv5::start_with(NodeKey::generate().unwrap(), listen, config).await;
    assert!(hears_neighbours(&Target::new(victim.record())).await);
    let dropped = victim.handle.statistics().await.unwrap();
    assert_ne!(dropped.machine.dropped(DropCause::StrangerRate), 0, "{dropped:#?}");
}

#[tokio::test]
async fn attacks_on_others_are_reported() {
    for program in Discv5Program::all() {
        let mut report = format!("attacks on {}:\n", program.name());
        let mut line = |name: &str, withstood| {
            let _ = writeln!(report, "  {} {name}", if withstood { "    " } else { "NOT " });
        };
        let victim = program.start(Discv5Options::default()).await;
        let target = Target::new(victim.first_record());
        for (name, attack) in ATTACKS {
            line(name, attack(&mut wire_node().await, &target).await);
        }

        let absent = wire_node().await.record().clone();
        let options = Discv5Options { bootnodes: vec![absent.clone()], ..Discv5Options::default() };
        let mut victim = program.start(options).await;
        let target = Target::new(victim.first_record());
        line("nodes that never answered are not handed out", !names(&target, &absent).await);

        let (mut us, record) = impostor().await;
        let challenged = challenge_whoever_asks(&mut us, &target, record.id());
        assert!(tokio::join!(victim.ping(&record), challenged).0.is_err());
        let is_live = |entry: &Discv5Entry| entry.record.id() == record.id() && entry.is_live;
        let believes = victim.table().await.iter().any(is_live);
        line("who challenges and never answers gets no place", !believes);

        let options = Discv5Options { has_filter: true, ..Discv5Options::default() };
        let victim = program.start(options).await;
        let target = Target::new(victim.first_record());
        line("the neighbours of who sends too much are heard", hears_neighbours(&target).await);
        let _ = write!(stderr(), "{report}");
    }
}

async fn wire_node() -> WireNode {
    WireNode::start(IpAddr::V4(Ipv4Addr::LOCALHOST)).await
}

const fn ping() -> Body {
    Body::Ping(Ping { enr_seq: 1 })
}

fn talk() -> Body {
    let request = Bytes::from_static(b"to be echoed");
    Body::TalkRequest(TalkRequest { protocol: Bytes::from_static(ECHO.as_bytes()), request })
}

async fn connected(us: &mut WireNode, it: &Target) -> Session {
    let (session, _) = us.connect(it, ping()).await.unwrap();
    session
}

/// What a forged handshake packet claims.
struct Claim<'a> {
    src_id: NodeId,
    record: &'a [u8],
    is_signed: bool,
}

/// A handshake packet with TALKREQ, and the session that it makes where it is accepted.
fn forge(
    us: &mut WireNode,
    it: &Target,
    challenge: &WhoAreYou,
    claim: &Claim<'_>,
) -> (Bytes, Session) {
    let key = us.key().clone();
    let (ephemeral_key, shared) = Identity::ephemeral(&key, &it.public_key(), &mut us.rng);
    let mut digest = id_digest(challenge, &ephemeral_key, &it.id());
    if !claim.is_signed {
        digest.reverse();
    }
    let secrets = SessionSecrets::derive(&shared, challenge, &claim.src_id, &it.id());
    let proof =
        Proof { id_signature: key.sign(&digest), ephemeral_key, record: Some(claim.record) };
    let nonce = Nonce::counted(0, &mut us.rng);
    let envelope = Envelope::random(claim.src_id, nonce, &mut us.rng);
    let message = us.request(talk()).to_bytes().unwrap();
    let sealing = SessionKey::new(secrets.initiator_key());
    let datagram = it.masking().seal_handshake(&envelope, &proof, &sealing, &message).unwrap();
    (datagram, Session::of_initiator(&secrets))
}

async fn forged_id(us: &mut WireNode, it: &Target) -> bool {
    let claimed = NodeKey::generate().unwrap().id();
    let masking = Masking::new(claimed, ProtocolId::default());
    let datagram = it.masking().random_packet(claimed, &mut us.rng);
    let nonce = it.masking().peek(&datagram).unwrap().nonce();
    us.send(it, &datagram).await;
    let challenge = us.challenge_as(&masking, it, nonce).await;
    let (challenge, _) = challenge.unwrap();
    let record = us.record().clone();
    let claim = Claim { src_id: claimed, record: record.as_bytes(), is_signed: true };
    let (datagram, session) = forge(us, it, &challenge, &claim);
    us.send(it, &datagram).await;
    !us.hears(&masking, it, &session, |_| true).await
}

async fn bytes_after_the_record(us: &mut WireNode, it: &Target) -> bool {
    let (challenge, _) = us.provoke(it).await;
    let record = [us.record().as_bytes(), &[0]].concat();
    let claim = Claim { src_id: us.id(), record: &record, is_signed: true };
    let (datagram, session) = forge(us, it, &challenge, &claim);
    us.send(it, &datagram).await;
    !us.hears(us.masking(), it, &session, |_| true).await
}

async fn bad_signature(us: &mut WireNode, it: &Target) -> bool {
    let (challenge, _) = us.provoke(it).await;
    let record = us.record().clone();
    let claim = Claim { src_id: us.id(), record: record.as_bytes(), is_signed: false };
    let (datagram, session) = forge(us, it, &challenge, &claim);
    us.send(it, &datagram).await;
    !us.hears(us.masking(), it, &session, |_| true).await
}

async fn second_attempt(us: &mut WireNode, it: &Target) -> bool {
    let (challenge, _) = us.provoke(it).await;
    let record = us.record().clone();
    let mut claim = Claim { src_id: us.id(), record: record.as_bytes(), is_signed: false };
    let (bad, _) = forge(us, it, &challenge, &claim);
    claim.is_signed = true;
    let (good, session) = forge(us, it, &challenge, &claim);
    us.send(it, &bad).await;
    us.send(it, &good).await;
    !us.hears(us.masking(), it, &session, |_| true).await
}

async fn replay(us: &mut WireNode, it: &Target) -> bool {
    let (challenge, _) = us.provoke(it).await;
    let message = us.request(talk());
    let (datagram, unconfirmed) = us.handshake(it, &challenge, &message);
    us.send(it, &datagram).await;
    let answered = us.confirm(it, unconfirmed, message.request_id).await;
    let (session, _) = answered.unwrap();
    us.send(it, &datagram).await;
    let is_answer = |bytes: &[u8]| contains(bytes, b"to be echoed");
    !us.hears(us.masking(), it, &session, is_answer).await
}

async fn bad_packet(us: &mut WireNode, it: &Target) -> bool {
    let mut session = connected(us, it).await;
    assert!(us.ask(it, &mut session, ping()).await.is_some());
    let (datagram, nonce) = us.random_packet(it);
    us.send(it, &datagram).await;
    us.challenge(it, nonce).await;
    us.ask(it, &mut session, ping()).await.is_some()
}

async fn same_challenge(us: &mut WireNode, it: &Target) -> bool {
    let (challenge, datagram) = us.provoke(it).await;
    let (second, _) = us.random_packet(it);
    us.send(it, &second).await;
    us.challenge(it, challenge.request_nonce()).await.is_some_and(|(_, again)| again == datagram)
}

async fn too_large(us: &mut WireNode, it: &Target) -> bool {
    let nonce = Nonce::random(&mut us.rng);
    let envelope = Envelope::random(us.id(), nonce, &mut us.rng);
    let datagram = it.masking().encode_ordinary(&envelope, &[7; 1000]).unwrap();
    us.send(it, &[&datagram, &[7; MAX_PACKET_SIZE][..]].concat()).await;
    us.challenge(it, nonce).await.is_none()
}

async fn too_small(us: &mut WireNode, it: &Target) -> bool {
    let nonce = Nonce::random(&mut us.rng);
    let envelope = Envelope::random(us.id(), nonce, &mut us.rng);
    // The header is larger than the smallest packet, so the rest of its authdata is missing.
    let datagram = it.masking().encode_ordinary(&envelope, &[]).unwrap();
    us.send(it, datagram.split_at(MIN_PACKET_SIZE - 1).0).await;
    us.challenge(it, nonce).await.is_none()
}

async fn counter_carries(us: &mut WireNode, it: &Target) -> bool {
    let nonce = Nonce::random(&mut us.rng);
    let mut envelope = Envelope::random(us.id(), nonce, &mut us.rng);
    envelope.masking_iv.split_at_mut(8).1.fill(0xff);
    let datagram = it.masking().encode_ordinary(&envelope, &[7; 28]).unwrap();
    us.send(it, &datagram).await;
    us.challenge(it, nonce).await.is_some()
}

/// A message with these elements, encoded already.
fn raw(kind: u8, elements: &[&[u8]]) -> Bytes {
    let list = elements.concat();
    let mut message = BytesMut::new();
    message.put_u8(kind);
    message.put_u8(0xc0 + u8::try_from(list.len()).unwrap());
    message.put_slice(&list);
    message.freeze()
}

async fn longer_ping(us: &mut WireNode, it: &Target) -> bool {
    let mut session = connected(us, it).await;
    let message = raw(0x01, &[b"\x82id", &[1], b"\x84more"]);
    let id = RequestId::new(b"id").unwrap();
    us.ask_bytes(it, &mut session, &message, id).await.is_some()
}

async fn longer_talk(us: &mut WireNode, it: &Target) -> bool {
    let mut session = connected(us, it).await;
    let message = raw(0x05, &[b"\x82id", b"\x84echo", b"\x85hello", b"\x84more"]);
    let id = RequestId::new(b"id").unwrap();
    us.ask_bytes(it, &mut session, &message, id).await.is_some()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

async fn empty_request_id(us: &mut WireNode, it: &Target) -> bool {
    let mut session = connected(us, it).await;
    let message = raw(0x01, &[&[0x80], &[1]]);
    let id = RequestId::new(b"").unwrap();
    us.ask_bytes(it, &mut session, &message, id).await.is_some()
}

async fn long_request_id(us: &mut WireNode, it: &Target) -> bool {
    let mut session = connected(us, it).await;
    let message = raw(0x05, &[b"\x89nine byte", b"\x84echo", b"\x85hello"]);
    let datagram = session.seal(it.masking(), us.id(), &message, &mut us.rng).unwrap();
    us.send(it, &datagram).await;
    !us.hears(us.masking(), it, &session, |bytes| contains(bytes, b"hello")).await
}

/// Whether it hands this node out.
async fn names(it: &Target, absent: &Record) -> bool {
    let mut us = wire_node().await;
    let mut session = connected(&mut us, it).await;
    let distances = vec![it.id().log_distance(&absent.id())];
    let body = Body::FindNode(FindNode { distances });
    let answer = us.ask(it, &mut session, body).await.unwrap();
    let Message { body: Body::Nodes(nodes), .. } = answer else { panic!("{answer:?}") };
    nodes.records.iter().any(|record| record == absent.as_bytes())
}

/// A node, and the record of another at its address, whose key it does not have.
async fn impostor() -> (WireNode, Record) {
    let (us, key) = (wire_node().await, NodeKey::generate().unwrap());
    let record = Record::builder().seq(1).ip(us.record().ip().unwrap().into());
    let record = record.udp(us.record().udp().unwrap()).sign(&key).unwrap();
    (us, record)
}

/// Answers the first packet to the node with this id as that would, for which no key is needed.
async fn challenge_whoever_asks(us: &mut WireNode, it: &Target, id: NodeId) {
    let datagram = us.receive(it).await.unwrap();
    let protocol = ProtocolId::default();
    let nonce = Masking::new(id, protocol).peek(&datagram).unwrap().nonce();
    let challenge = WhoAreYou::random(protocol, nonce, 0, &mut us.rng);
    us.send(it, &challenge.encode(it.masking())).await;
}

/// Whether it challenges somebody from the address of one who sent many packets.
async fn hears_neighbours(it: &Target) -> bool {
    let (mut us, mut neighbour) = (wire_node().await, wire_node().await);
    for _ in 0..200 {
        let (datagram, _) = us.random_packet(it);
        us.send(it, &datagram).await;
    }
    tokio::time::sleep(LIMIT_IS_OVER).await;
    let (datagram, nonce) = neighbour.random_packet(it);
    neighbour.send(it, &datagram).await;
    neighbour.challenge(it, nonce).await.is_some()
}
