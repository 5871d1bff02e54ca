//! What a node can be told that asks others of discovery v5 for nodes, over its socket. Ours has to
//! make the best of all of it; what the others make of it is printed, and nobody asserts that it is
//! wrong.

use std::{
    fmt::Write as _,
    io::{Write as _, stderr},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use bytes::Bytes;
use devp2p_core::{Node, NodeKey, Record};
use devp2p_discv5::{
    handshake::Challenge,
    message::{Body, Message, Nodes, Pong, RequestId, TalkResponse},
    session::Session,
    wire::{Packet, ProtocolId},
};
use devp2p_interop::{Discv5Options, Discv5Program, OurDiscv5, Target, WireNode};
use tokio::time::{Instant, sleep};

/// All nodes that are told of are this far from the one that tells.
const DISTANCE: u16 = 256;
/// How long a question may take, however the answer comes: the handshake, and two seconds.
const MAX_TIME: Duration = Duration::from_secs(3);
/// Where an answer is complete, nobody has to wait for more.
const AT_ONCE: Duration = Duration::from_millis(450);

/// A message of an answer: when it is sent after the one before, of how many it says it is one, and
/// the records.
#[derive(Clone)]
struct Part {
    after: Duration,
    total: u64,
    records: Vec<Bytes>,
}

/// An answer, and what is to come of it.
struct Answer {
    parts: Vec<Part>,
    expected: Expected,
    within: Duration,
}

/// Makes the answer of a node to somebody who asks it.
type Make = fn(&WireNode, &Record) -> Answer;

const ANSWERS: [(&str, Make); 8] = [
    ("an answer in two parts is taken", two_parts),
    ("an answer of no messages is one", no_messages),
    ("of a total of 1,000 messages no more than 16 are read", many_messages),
    ("nodes at other distances are left out, and the others are taken", other_distances),
    ("the same node counts once", doubles),
    ("nobody is told of itself", themselves),
    ("a bad record does not spoil the others", bad_record),
    ("an answer that drips is over in time", dripping),
];

enum Expected {
    /// These.
    All(Vec<Record>),
    /// So many at most.
    AtMost(usize),
}

impl Answer {
    /// Of which all these are taken, and at once.
    fn of_all(parts: Vec<Part>, expected: &[Record]) -> Self {
        Self { parts, expected: Expected::All(expected.to_vec()), within: AT_ONCE }
    }
}

impl Expected {
    fn holds(&self, taken: &[Record]) -> bool {
        match self {
            Self::All(expected) => {
                taken.len() == expected.len() && expected.iter().all(|it| taken.contains(it))
            }
            Self::AtMost(most) => taken.len() <= *most,
        }
    }
}

#[tokio::test]
async fn ours_makes_the_best_of_any_answer() {
    let victim = OurDiscv5::start(Discv5Options::default().listen, &[]).await;
    let asker = victim.record();
    for (name, make) in ANSWERS {
        let mut us = far_from(&asker).await;
        let answer = make(&us, &asker);
        let node = Node::from_record(us.record().clone());
        let ask = async { victim.handle.find_node(&node, [DISTANCE]).await };
        let (found, time) = tell(&mut us, &asker, &answer, ask).await;
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        let taken: Vec<_> = found.iter().filter_map(|node| node.record().cloned()).collect();
        assert!(answer.expected.holds(&taken), "not so: {name}: {taken:#?}");
        assert!(time <= answer.within, "{name}: {time:?}");
    }
}

#[tokio::test]
async fn answers_to_others_are_reported() {
    for program in Discv5Program::all() {
        let mut report = format!("answers to {}:\n", program.name());
        for (name, make) in ANSWERS {
            // Each has one of its own: some ban who tells them such things.
            let mut victim = program.start(Discv5Options::default()).await;
            let asker = victim.first_record();
            let mut us = far_from(&asker).await;
            let answer = make(&us, &asker);
            let record = us.record().clone();
            let ask = victim.find_node(&record, &[DISTANCE]);
            let (found, time) = tell(&mut us, &asker, &answer, ask).await;
            let is_so = found.as_ref().is_ok_and(|taken| answer.expected.holds(taken));
            let mark = if is_so && time <= answer.within { "    " } else { "NOT " };
            let _ = write!(report, "  {mark} {name}");
            let _ = match found {
                Ok(taken) => writeln!(report, ": {} nodes, {time:.1?}", taken.len()),
                Err(error) => writeln!(report, ": {error}, {time:.1?}"),
            };
        }
        let _ = write!(stderr(), "{report}");
    }
}

/// Somebody who is far from who asks.
async fn far_from(asker: &Record) -> WireNode {
    loop {
        let us = WireNode::start(IpAddr::V4(Ipv4Addr::LOCALHOST)).await;
        if us.id().log_distance(&asker.id()) == DISTANCE {
            return us;
        }
    }
}

fn two_parts(us: &WireNode, _: &Record) -> Answer {
    let all: [_; 6] = far(us);
    let (first, rest) = all.split_at(3);
    Answer::of_all(vec![part(2, first), part(2, rest)], &all)
}

fn no_messages(_: &WireNode, _: &Record) -> Answer {
    Answer::of_all(vec![part(0, &[])], &[])
}

fn many_messages(us: &WireNode, _: &Record) -> Answer {
    let parts = far::<40>(us).map(|it| part(1_000, &[it])).to_vec();
    Answer { parts, expected: Expected::AtMost(16), within: MAX_TIME }
}

fn other_distances(us: &WireNode, _: &Record) -> Answer {
    let [one, other] = far(us);
    let near = at_distance(us, DISTANCE - 1);
    Answer::of_all(vec![part(1, &[one.clone(), near, other.clone()])], &[one, other])
}

fn doubles(us: &WireNode, _: &Record) -> Answer {
    let all: [_; 2] = far(us);
    let twice = [all.clone(), all.clone()].concat();
    Answer::of_all(vec![part(2, &twice), part(2, &all)], &all)
}

fn themselves(us: &WireNode, asker: &Record) -> Answer {
    let [one, other] = far(us);
    Answer::of_all(vec![part(1, &[one.clone(), asker.clone(), other.clone()])], &[one, other])
}

fn bad_record(us: &WireNode, _: &Record) -> Answer {
    let [one, bad, other] = far(us).map(|record| record.to_bytes());
    // A byte of the last entry, of which the signature knows.
    let mut bad = bad.to_vec();
    *bad.last_mut().unwrap() ^= 1;
    let records = vec![one.clone(), bad.into(), other.clone()];
    let good = [one, other].map(|bytes| Record::decode(&bytes).unwrap());
    Answer::of_all(vec![Part { after: Duration::ZERO, total: 1, records }], &good)
}

fn dripping(us: &WireNode, _: &Record) -> Answer {
    let slowly = |it| Part { after: Duration::from_millis(400), ..part(16, &[it]) };
    let parts = far::<16>(us).map(slowly).to_vec();
    Answer { parts, expected: Expected::AtMost(15), within: MAX_TIME }
}

fn part(total: u64, records: &[Record]) -> Part {
    let records = records.iter().map(Record::to_bytes).collect();
    Part { after: Duration::ZERO, total, records }
}

fn far<const N: usize>(us: &WireNode) -> [Record; N] {
    std::array::from_fn(|_| at_distance(us, DISTANCE))
}

/// The record of a node so far from ours, at the same address.
fn at_distance(us: &WireNode, distance: u16) -> Record {
    let mut keys = std::iter::repeat_with(|| NodeKey::generate().unwrap());
    let key = keys.find(|key| key.id().log_distance(&us.id()) == distance).unwrap();
    let (ip, port) = (us.record().ip().unwrap(), us.record().udp().unwrap());
    Record::builder().seq(1).ip(ip.into()).udp(port).sign(&key).unwrap()
}

/// Gives this answer to who asks, and returns what came of that, and how long it took.
async fn tell<T>(
    us: &mut WireNode,
    asker: &Record,
    answer: &Answer,
    ask: impl Future<Output = T>,
) -> (T, Duration) {
    let it = &Target::new(asker.clone());
    #[expect(clippy::disallowed_methods, reason = "a test reads the clock")]
    let begin = Instant::now();
    let telling = async {
        let (mut session, request_id) = question(us, it, asker.udp().unwrap()).await;
        for part in &answer.parts {
            sleep(part.after).await;
            let nodes = Nodes { total: part.total, records: part.records.clone() };
            send(us, it, &mut session, request_id, Body::Nodes(nodes)).await;
        }
        std::future::pending().await
    };
    tokio::select! {
        result = ask => (result, begin.elapsed()),
        () = telling => unreachable!(),
    }
}

/// Lets it have a session with us, and answers all that it asks until it asks for nodes.
async fn question(us: &mut WireNode, it: &Target, port: u16) -> (Session, RequestId) {
    let (mut session, mut challenge) = (None::<Session>, None::<Challenge>);
    loop {
        let Some(datagram) = us.receive(it).await else { continue };
        let message = match us.masking().decode(&datagram) {
            Ok(Packet::Ordinary(packet)) => {
                match session.as_ref().and_then(|session| session.open(&packet)) {
                    Some(message) => message,
                    None => {
                        let (protocol, nonce) = (ProtocolId::default(), packet.nonce());
                        let new = Challenge::new(protocol, it.id(), nonce, None, &mut us.rng);
                        us.send(it, &new.encode(it.masking())).await;
                        challenge = Some(new);
                        continue;
                    }
                }
            }
            Ok(Packet::Handshake(packet)) => {
                let Some(challenge) = challenge.take() else { continue };
                let accepted = challenge.accept(us.key(), &packet).unwrap();
                session = Some(accepted.session);
                accepted.message
            }
            _ => continue,
        };
        let Some(mut open) = session.take() else { continue };
        let Message { request_id, body } = Message::decode(&message).unwrap();
        let answer = match body {
            Body::FindNode(asked) if asked.distances == [DISTANCE] => {
                return (open, request_id);
            }
            Body::FindNode(asked) => {
                let own = asked.distances.contains(&0).then(|| us.record().to_bytes());
                Body::Nodes(Nodes { total: 1, records: own.into_iter().collect() })
            }
            Body::Ping(_) => Body::Pong(Pong { enr_seq: 1, ip: Ipv4Addr::LOCALHOST.into(), port }),
            _ => Body::TalkResponse(TalkResponse { response: Bytes::new() }),
        };
        send(us, it, &mut open, request_id, answer).await;
        session = Some(open);
    }
}

async fn send(
    us: &mut WireNode,
    it: &Target,
    session: &mut Session,
    request_id: RequestId,
    body: Body,
) {
    let message = Message { request_id, body }.to_bytes().unwrap();
    let datagram = session.seal(it.masking(), us.id(), &message, &mut us.rng).unwrap();
    us.send(it, &datagram).await;
}
