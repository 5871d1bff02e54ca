//! Writes the seeds of every target into `corpus/`, from the vectors of the crates' tests.
//!
//! `cargo run --example seed_corpus`, in this folder. A seed has the name of the vector that it
//! comes from; what the fuzzer has found lies beside it under the hash of its content.

#![forbid(unsafe_code)]

use std::{fs, io, net::Ipv4Addr, path::Path};

use bytes::Bytes;
use devp2p_core::{NodeKey, Record, Rng};
use devp2p_discv5::{
    message::{Body, FindNode, MAX_DISTANCE, MAX_RECORDS, Message, Nodes, RequestId, TalkRequest},
    wire::MAX_PACKET_SIZE,
};
use devp2p_fuzz::{
    keys::{INITIATOR, RECIPIENT},
    script::string,
};
use devp2p_peer::{DisconnectReason, Hello};
use devp2p_rlpx::{MAX_EARLY_MESSAGE_SIZE, packet, snappy};
use serde_json::Value;

const HANDSHAKE: &str = include_str!("../../crates/rlpx/tests/vectors/rlpx-eip8-handshake.json");
const FRAMES: &str = include_str!("../../crates/rlpx/tests/vectors/rlpx-frames.json");
const SESSION: &str = include_str!("../../crates/rlpx/tests/vectors/rlpx-derived-session.json");
const BASE: &str = include_str!("../../crates/peer/tests/vectors/p2p-base.json");
const ENR: &str = include_str!("../../crates/core/tests/vectors/enr.json");
const DISCV4: [&str; 2] = [
    include_str!("../../crates/discv4/tests/vectors/discv4-eip8-packets.json"),
    include_str!("../../crates/discv4/tests/vectors/discv4-derived.json"),
];
const DISCV5_WIRE: &str = include_str!("../../crates/discv5/tests/vectors/discv5-wire.json");
const DISCV5_MESSAGES: &str =
    include_str!("../../crates/discv5/tests/vectors/discv5-messages.json");
const URLS: &str = include_str!("../../crates/core/tests/vectors/enode-urls.json");

/// Seeds of the machines, for which there are no vectors.
const RANDOM_SEEDS: u8 = 8;
const RANDOM_SIZE: usize = 300;

fn main() -> io::Result<()> {
    handshakes()?;
    frames()?;
    base_protocol()?;
    records()?;
    keys()?;
    networks()?;
    sessions()?;
    discv4_packets()?;
    discoveries()?;
    discv5_packets()?;
    discv5_messages()?;
    discv5_machines()?;
    for target in ["session", "dial", "server_core", "discv4", "discv5"] {
        let mut rng = Rng::from_seed([7; 32]);
        for number in 0..RANDOM_SEEDS {
            let mut seed = vec![0; RANDOM_SIZE];
            rng.fill(&mut seed);
            save(target, &format!("random_{number}"), &seed)?;
        }
    }
    Ok(())
}

fn handshakes() -> io::Result<()> {
    let vector = parse(HANDSHAKE);
    for (target, names, key) in [
        ("auth", ["auth1", "auth2", "auth3"], &*RECIPIENT),
        ("ack", ["ack1", "ack2", "ack3"], &*INITIATOR),
    ] {
        for name in names {
            let mut packet = hex(&vector[name]["packet"]);
            save(target, name, &raw(&packet))?;
            if let Some(body) = packet::open(key, &mut packet) {
                save(target, &format!("{name}_body"), &[&[1], body].concat())?;
            }
        }
        save(target, "genuine", &[2, 1, 0, 0, 0, 9, 9, 9])?;
        save(target, "damaged_point", &[2, 1, 5, 0, 1])?;
        save(target, "damaged_tag", &[2, 1, 0xff, 0, 0x80])?;
    }
    for reject in list(&vector["reject_recipient_b"]) {
        save("auth", &name(reject), &raw(&hex(&reject["packet"])))?;
    }
    Ok(())
}

/// A packet as it comes, in two parts.
fn raw(packet: &[u8]) -> Vec<u8> {
    [&[0, 40, 0], packet].concat()
}

fn frames() -> io::Result<()> {
    const ESTABLISH: [u8; 3] = [8, 3, 1];
    const DELIVER: [u8; 1] = [7];
    const FLIP: [u8; 5] = [5, 20, 0, 0, 4];

    // The messages of a session: two Hellos, the switch, and what follows it.
    let (mut session, mut plain) = (Vec::new(), Vec::new());
    for frame in list(&parse(SESSION)["frames"]) {
        let id = u8::try_from(frame["msg_id"].as_u64().unwrap_or(0)).unwrap_or(0);
        let payload = hex(&frame["payload"]);
        let send = [&[0, id], &*string(&payload)].concat();
        if frame["compressed"] == true && !session.ends_with(&DELIVER) {
            session.extend_from_slice(&ESTABLISH);
        }
        session.extend_from_slice(&send);
        if frame["compressed"] == true {
            session.extend_from_slice(&DELIVER);
        }
        plain.extend_from_slice(&send);
    }
    save("frame_stream", "session", &session)?;
    save("frame_stream", "without_the_switch", &plain)?;
    save("frame_stream", "damaged", &[&*session, &FLIP, &DELIVER].concat())?;

    for (number, capture) in list(&parse(FRAMES)["captures"]).iter().enumerate() {
        for (index, frame) in list(&capture["frames_ingress"]).iter().enumerate() {
            let body = hex(&frame["frame_data"]);
            if !body.is_empty() {
                let name = format!("capture_{number}_{index}");
                let forged = [&[2], &*string(&body)].concat();
                save("frame_stream", &name, &forged)?;
                save("frame_stream", &format!("{name}_snappy"), &[&ESTABLISH, &*forged].concat())?;
            }
        }
    }
    let bombs: [(&str, &[u8]); 4] = [
        ("bomb_4_gib", &[0xff, 0xff, 0xff, 0xff, 0x0f, 0x00]),
        ("bomb_16_mib", &[0xff, 0xff, 0xff, 0x07, 0x00, 0x61]),
        ("copy_from_nowhere", &[0x04, 0x01, 0x01]),
        ("repeats", &[0x0c, 0x00, 0x61, 0x1d, 0x01, 0x02, 0x01, 0x00]),
    ];
    for (name, bomb) in bombs {
        save("frame_stream", name, &[&ESTABLISH[..], &[3, 16], &string(bomb)].concat())?;
        save("snappy", name, &[&[3], bomb].concat())?;
    }
    let header = |size: u32| [&[4], &u64::from(size).to_le_bytes()[..], &string(&[0; 64])].concat();
    save("frame_stream", "header_16_mib", &header(0xff_ffff))?;
    save("frame_stream", "header_2_kib", &header(2048))?;
    // The frame is within its limit, which leaves room for an id of 9 bytes; the message is not.
    let message = [&[3, 16], &*string(&[0; MAX_EARLY_MESSAGE_SIZE + 1])].concat();
    save("frame_stream", "message_2_kib", &message)?;
    for (name, plain) in [("text", &b"a message, a message, a message"[..]), ("zeros", &[0; 400])] {
        let payload = snappy::compress(plain).expect("small");
        save("snappy", name, &[&[3], &*payload].concat())?;
    }
    Ok(())
}

fn base_protocol() -> io::Result<()> {
    let vector = parse(BASE);
    save("hello", "eip8", &hex(&vector["hello_eip8"]["payload"]))?;
    for (index, frame) in list(&parse(SESSION)["frames"]).iter().enumerate() {
        if frame["msg_id"] == 0 {
            save("hello", &format!("session_{index}"), &hex(&frame["payload"]))?;
        }
    }
    save("hello", "too_large", &[0; Hello::MAX_SIZE + 1])?;
    for vector in list(&vector["disconnect"]) {
        let (reason, payload) = (&vector["reason"], hex(&vector["payload"]));
        save("disconnect", &format!("list_{reason}"), &payload)?;
    }
    let quitting = DisconnectReason::Quitting.encode();
    let compressed = snappy::compress(&quitting).expect("small");
    let forms: [(&str, &[u8]); 6] = [
        ("compressed", &compressed),
        ("bare", &[0x08]),
        ("empty", &[]),
        ("empty_list", &[0xc0]),
        ("more_elements", &[0xc3, 0x04, 0x05, 0x06]),
        ("unknown_code", &[0xc2, 0x81, 0xff]),
    ];
    forms.into_iter().try_for_each(|(name, form)| save("disconnect", name, form))
}

/// Seeds that say what random ones take long to say: the first byte of each step names it.
fn sessions() -> io::Result<()> {
    const MESSAGE: [u8; 4] = [0, 0x10, 100, 0];
    const PING: [u8; 4] = [0, 2, 1, 0];
    const PONG: [u8; 4] = [0, 3, 1, 0];
    const RECEIVE: [u8; 2] = [4, 0];
    const SEND: [u8; 5] = [6, 1, 0, 50, 0];
    const TRANSMIT: [u8; 1] = [8];
    const NEXT_TIME: [u8; 1] = [10];
    const QUIT: [u8; 3] = [11, 5, 8];
    let steps: [(&str, &[&[u8]]); 5] = [
        (
            "full_queue",
            &[&MESSAGE, &MESSAGE, &MESSAGE, &MESSAGE, &[0, 0x10, 1, 0, 1], &RECEIVE, &NEXT_TIME],
        ),
        (
            "resumes",
            &[&MESSAGE.repeat(4), &NEXT_TIME, &RECEIVE.repeat(4), &MESSAGE, &QUIT, &TRANSMIT],
        ),
        ("in_turn", &[&SEND, &[6, 0, 0, 9, 0], &SEND, &[6, 2, 1, 9, 0], &TRANSMIT.repeat(5)]),
        (
            "pings",
            &[&PING.repeat(12), &TRANSMIT, &NEXT_TIME, &TRANSMIT, &PONG, &NEXT_TIME.repeat(4)],
        ),
        ("refused", &[&MESSAGE, &[3, 2, 0, 0xc1, 0x04], &RECEIVE, &TRANSMIT, &SEND]),
    ];
    steps.into_iter().try_for_each(|(name, steps)| save("session", name, &steps.concat()))
}

fn records() -> io::Result<()> {
    let vector = parse(ENR);
    let lists = ["valid", "derived_valid", "reject", "implementation_defined"];
    let all = lists.iter().flat_map(|name| list(&vector[*name])).chain([&vector["example"]]);
    for record in all {
        let name = name(record);
        if let Some(text) = record["text"].as_str() {
            save("enr_text", &name, text.as_bytes())?;
            save("enode", &name, text.as_bytes())?;
        }
        let bytes = hex(&record["rlp"]);
        save("enr", &name, &[&[0], &*bytes].concat())?;
        // The content alone, for the target to sign: after the list's header and the signature.
        if let Some((_, content)) = bytes.split_at_checked(if bytes.len() > 257 { 69 } else { 68 })
        {
            save("enr", &format!("{name}_content"), &[&[1], content].concat())?;
        }
    }
    let mapped = [&[0x90], &Ipv4Addr::new(1, 2, 3, 4).to_ipv6_mapped().octets()[..]].concat();
    let record = Record::builder().entry("ip6", mapped).tcp(4).sign(&RECIPIENT);
    let text = record.expect("a small record").to_string();
    save("enode", "ipv4_in_ip6", text.as_bytes())?;

    for (index, case) in list(&parse(URLS)["cases"]).iter().enumerate() {
        let url = case["input"].as_str().unwrap_or_default();
        save("enode", &format!("url_{index}"), url.as_bytes())?;
    }
    Ok(())
}

fn keys() -> io::Result<()> {
    let vector = parse(HANDSHAKE);
    for name in ["static_key_a", "static_key_b"] {
        let digits = vector[name].as_str().unwrap_or_default();
        save("key_file", name, digits.as_bytes())?;
        save("key_file", &format!("{name}_line"), format!("{digits}\r\n").as_bytes())?;
        let key = NodeKey::from_hex(digits).expect("a key of the vectors");
        save("key_file", &format!("{name}_protobuf"), &key.to_protobuf())?;
    }
    save("key_file", "zero", &[b'0'; 64])?;
    save("key_file", "above_the_order", &[b'f'; 64])
}

fn networks() -> io::Result<()> {
    let probe = [0; 16];
    for (name, text) in [
        ("v4", "10.0.0.0/8, 192.168.0.0/16"),
        ("v6", "fd00::/8\n2001:db8::/32"),
        ("mapped", "::ffff:10.0.0.0/104,::/0"),
        ("empty", " , "),
    ] {
        save("net_restrict", name, &[&probe, text.as_bytes()].concat())?;
    }
    Ok(())
}

/// Every packet as it comes, with a hash to be made, and its data to be signed.
fn discv4_packets() -> io::Result<()> {
    for vectors in DISCV4.map(parse) {
        let lists = [&vectors["packets"], &vectors["go_ethereum"]["packets"]];
        let reth = &vectors["reth"]["packets"];
        for vector in lists.into_iter().chain([reth, &vectors["reject"]]).flat_map(list) {
            let (name, packet) = (name(vector), hex(&vector["packet"]));
            save("discv4_packet", &name, &[&[0], &*packet].concat())?;
            let Some((head, data)) = packet.split_at_checked(98) else { continue };
            save("discv4_packet", &format!("{name}_rest"), &[&[1], &packet[32..]].concat())?;
            if let Some(kind) = head.last().and_then(|code| code.checked_sub(1)) {
                save("discv4_packet", &format!("{name}_data"), &[&[2, kind], data].concat())?;
            }
        }
    }
    Ok(())
}

/// The ways in which a node gets to know others, which random seeds take long to find.
fn discoveries() -> io::Result<()> {
    // All answer, and time goes on to when the machine wants to be called.
    const GO_ON: [u8; 3] = [11, 2, 11];
    const FIVE_HOURS: [u8; 3] = [1, 44, 1];
    let command = |node, place, what: &[u8]| [&[13, node, place], what].concat();
    let find_node = |node| vec![4, node, 100, node, 0];
    let enr_request = |node| vec![5, 100, node, 0];
    let ping = |node| vec![3, 0, 0, 100, 1, node, 0];
    let steps: [(&str, Vec<Vec<u8>>); 6] = [
        ("bootstrap", vec![GO_ON.repeat(30)]),
        (
            "commands",
            vec![
                command(3, 0, &[3]),
                GO_ON.repeat(3),
                command(3, 0, &[4, 5]),
                GO_ON.repeat(3),
                command(4, 1, &[5]),
                GO_ON.repeat(3),
                command(5, 2, &[2]),
                GO_ON.repeat(6),
                command(0, 0, &[0, 200]),
                command(0, 0, &[1]),
                GO_ON.repeat(6),
            ],
        ),
        (
            "served",
            vec![
                ping(2),
                GO_ON.repeat(2),
                find_node(2),
                enr_request(2),
                find_node(3),
                enr_request(3),
                FIVE_HOURS.repeat(3),
                find_node(2),
            ],
        ),
        ("renewed", vec![ping(2), GO_ON.to_vec(), FIVE_HOURS.repeat(2), ping(2), GO_ON.to_vec()]),
        (
            "seeds",
            vec![
                command(6, 1, &[8, 10, 0, 1]),
                command(7, 3, &[8, 200, 1, 0]),
                GO_ON.repeat(5),
                find_node(6),
            ],
        ),
        ("cancelled", vec![command(1, 1, &[2]), GO_ON.to_vec(), command(0, 0, &[6, 0])]),
    ];
    for (name, steps) in steps {
        save("discv4", name, &[vec![0], steps.concat()].concat())?;
    }
    Ok(())
}

/// Every packet as it comes, its header before it is masked to us, and handshakes with a record.
fn discv5_packets() -> io::Result<()> {
    /// The bytes before the authdata.
    const HEADER_START: usize = 39;
    let vectors = parse(DISCV5_WIRE);
    for (index, vector) in list(&vectors["packets"]).iter().enumerate() {
        let (packet, fields) = (hex(&vector["packet"]), &vector["decoded"]);
        save("discv5_packet", &format!("packet_{index}"), &[&[0], &*packet].concat())?;
        let flag = u8::try_from(fields["flag"].as_u64().unwrap_or(0)).unwrap_or(0);
        let header = hex(&fields["static_header"]);
        let (authdata, message) = (hex(&fields["authdata"]), hex(&fields["message_ciphertext"]));
        let unmasked = [&[1, flag], &header[21..], &authdata, &message].concat();
        save("discv5_packet", &format!("unmasked_{index}"), &unmasked)?;
    }
    for vector in list(&vectors["derived_packets"]).iter().chain(list(&vectors["reject"])) {
        let packet = hex(&vector["packet"]);
        save("discv5_packet", &name(vector), &[&[0], &*packet].concat())?;
    }
    let record = Record::builder().seq(1).sign(&INITIATOR).expect("a small record");
    let foreign = Record::builder().seq(1).sign(&RECIPIENT).expect("a small record");
    // The header as far as it is not our own, at the limits of what a packet can be.
    let header = |flag: u8, authdata: u16, size: usize| {
        [&[1, flag], &authdata.to_be_bytes()[..], &vec![9; size]].concat()
    };
    for (name, packet) in [
        ("ordinary_without_a_tag", header(0, 32, 32 + 15)),
        ("ordinary_smallest", header(0, 32, 32 + 16)),
        ("ordinary_largest", header(0, 32, MAX_PACKET_SIZE - HEADER_START)),
        ("ordinary_too_large", header(0, 32, MAX_PACKET_SIZE - HEADER_START + 1)),
        ("whoareyou", header(1, 24, 24)),
        ("whoareyou_with_a_message", header(1, 24, 40)),
        ("handshake_without_a_key", header(2, 34, 34 + 97)),
        ("authdata_beyond_the_end", header(2, u16::MAX, 200)),
    ] {
        save("discv5_packet", &format!("unmasked_{name}"), &packet)?;
    }
    for (name, changes, record) in [
        ("genuine", [0, 0, 0, 0], record.as_bytes()),
        ("signature_flipped", [1, 0, 0, 0], record.as_bytes()),
        ("key_flipped", [0, 1, 0, 0], record.as_bytes()),
        ("other_key", [0, 0, 1, 0], record.as_bytes()),
        ("old_record", [0, 0, 0, 2], record.as_bytes()),
        ("foreign_record", [0, 0, 0, 0], foreign.as_bytes()),
        ("no_record", [0, 0, 0, 0], &[]),
        ("large_record", [0, 0, 0, 0], &[0; Record::MAX_SIZE + 1]),
    ] {
        let seed = [&[2], &changes[..], &string(record), b"message"].concat();
        save("discv5_packet", &format!("handshake_{name}"), &seed)?;
    }
    Ok(())
}

fn discv5_messages() -> io::Result<()> {
    let vectors = parse(DISCV5_MESSAGES);
    let lists = ["messages", "topdisc_draft_2026_06", "reject"];
    for vector in lists.iter().flat_map(|name| list(&vectors[*name])) {
        save("discv5_message", &name(vector), &hex(&vector["encoded"]))?;
    }
    save("discv5_message", "record_of_286_bytes", &hex(&vectors["record_size_288_nodes"]))?;

    let record = Record::builder().seq(1).sign(&INITIATOR).expect("a small record").to_bytes();
    let nodes = |total, count| Body::Nodes(Nodes { total, records: vec![record.clone(); count] });
    let talk = |name: &'static [u8], size| {
        let (protocol, request) = (Bytes::from_static(name), vec![7; size].into());
        Body::TalkRequest(TalkRequest { protocol, request })
    };
    for (name, body) in [
        ("findnode_all", Body::FindNode(FindNode { distances: (0..=MAX_DISTANCE).collect() })),
        ("nodes_too_many", nodes(1, MAX_RECORDS + 1)),
        ("nodes_of_none", nodes(0, 0)),
        ("nodes_total_huge", nodes(u64::MAX, 2)),
        ("talk_without_name", talk(b"", 0)),
        ("talk_large", talk(b"utp", 1_100)),
    ] {
        let message = Message { request_id: RequestId::from(7), body };
        save("discv5_message", name, &message.to_bytes().expect("records are lists"))?;
    }
    Ok(())
}

/// How nodes come to share keys and what they say then, step by step: the first byte names the
/// step. The strangers are numbered from 0 on, and the last of them is the bootnode.
fn discv5_machines() -> io::Result<()> {
    const DELIVER: &[u8] = &[4];
    const SERVE: &[u8] = &[9, 4];
    const NEXT_TIME: &[u8] = &[2, 0, 4];
    const HALF_A_SECOND: &[u8] = &[0, 0xf4, 1];
    const KNOCK: &[u8] = &[6, 0, 0, 20, 0, 4];
    // With PING, by the stranger's own record, which gives where it is.
    const HANDSHAKE: &[u8] = &[7, 0, 0, 0, 0, 1, 0, 1, 4];
    const FIND_NODE: &[u8] = &[10, 0, 0, 2, 2, 3, 0, 1, 2, 4];
    const FIND_RECORD: &[u8] = &[10, 0, 0, 3, 3, 4];
    const TALK: &[u8] = &[10, 0, 0, 4, 6, 1, 3, 0, b'a', b's', b'k', 4];
    const FLIP: &[u8] = &[3, 0, 2, 70, 0, 1];
    const TRUNCATE: &[u8] = &[3, 0, 4, 100, 0];
    const FROM_ELSEWHERE: &[u8] = &[3, 0, 3, 0, 2];
    // As an answer to what it was asked first: one part of three, of four records.
    const NODES: &[u8] = &[10, 0, 0, 1, 0, 4, 3, 4, 2, 0, 3, 0, 3, 1, 4, 0, 4];
    let command = |named, what: &[u8]| [&[14, 0, named, 0], what].concat();
    // The stranger has challenged the machine, and has been asked.
    let asked = |what: &[u8]| [&*command(2, what), DELIVER, &[8, 0, 0, 0], DELIVER].concat();
    let ask_for_nodes = asked(&[6, 254]);
    let scripts: [(&str, &[&[u8]]); 20] = [
        // A lookup for no nodes at all is over at once.
        ("lookup_of_no_nodes", &[&command(3, &[1, 0])]),
        ("bootstrap", &[DELIVER, &[SERVE, SERVE, NEXT_TIME].concat().repeat(12)]),
        ("handshake", &[KNOCK, HANDSHAKE, SERVE]),
        ("handshake_twice", &[KNOCK, HANDSHAKE, HANDSHAKE, KNOCK, HANDSHAKE, SERVE]),
        // By another's record, and with a bit of the packet turned over.
        ("handshake_of_another", &[KNOCK, &[7, 0, 0, 7, 1, 0, 1, 0, 1, 4], HANDSHAKE]),
        ("handshake_flipped", &[KNOCK, HANDSHAKE.split_at(8).0, FLIP, DELIVER, KNOCK, HANDSHAKE]),
        ("handshake_moved", &[KNOCK, HANDSHAKE.split_at(8).0, FROM_ELSEWHERE, DELIVER]),
        ("challenge_again", &[KNOCK, KNOCK, HALF_A_SECOND, KNOCK, HALF_A_SECOND, KNOCK]),
        ("challenge_cut", &[KNOCK.split_at(5).0, TRUNCATE, DELIVER]),
        ("findnode", &[&SERVE.repeat(3), KNOCK, HANDSHAKE, SERVE, FIND_RECORD, FIND_NODE]),
        ("talk", &[KNOCK, HANDSHAKE, SERVE, TALK, &[13, 0, 0, 20, 0], DELIVER]),
        ("talk_late", &[KNOCK, HANDSHAKE, SERVE, TALK, HALF_A_SECOND, &[13, 0, 0, 20, 0], DELIVER]),
        ("talk_too_many", &[KNOCK, HANDSHAKE, SERVE, &TALK.repeat(5)]),
        ("talk_to_stranger", &[&asked(&[7, 100, 0]), SERVE]),
        ("nodes_in_parts", &[&ask_for_nodes, &NODES.repeat(3), NEXT_TIME]),
        ("nodes_drip", &[&ask_for_nodes, NODES, &[0, 200, 1], NODES, &[0, 200, 1], NODES]),
        ("enr", &[&asked(&[8]), SERVE]),
        (
            "machines",
            &[
                &command(1, &[4]),
                &[14, 1, 0, 0, 4],
                DELIVER,
                &command(1, &[7, 44, 1]),
                DELIVER,
                &[13, 1, 0, 9, 0],
                DELIVER,
                &command(5, &[3]),
                &SERVE.repeat(4),
            ],
        ),
        // Both have keys; the second one's record changes, and the first asks for it.
        (
            "renewed",
            &[&command(1, &[4]), DELIVER, &[14, 1, 0, 0, 11, 1], &command(1, &[4]), DELIVER],
        ),
        ("years", &[&SERVE.repeat(3), &[&[1, 30, 4], SERVE, SERVE, NEXT_TIME].concat().repeat(8)]),
    ];
    scripts.into_iter().try_for_each(|(name, steps)| {
        // What the machines draw is the same in all.
        save("discv5", name, &[&[0], &*steps.concat()].concat())
    })
}

fn save(target: &str, name: &str, seed: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), seed)
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("the vectors are JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn name(vector: &Value) -> String {
    vector["name"].as_str().unwrap_or("unnamed").to_owned()
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap_or_default().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(|pair| byte(pair).expect("hex digits")).collect()
}
