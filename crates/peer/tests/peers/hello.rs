//! The exchange of Hellos: what is tolerated, what is refused, and what the remote is told.

use bytes::Bytes;
use devp2p_core::Message;
use devp2p_peer::{
    Capability, Config, DecodeHelloError, DisconnectReason, Hello, HelloError, PipeConfig, hello,
    id, pipe, pipe_with, refuse,
};
use futures::{SinkExt as _, StreamExt as _};
use proptest::prelude::*;
use rlp::RlpStream;

use crate::common::*;

fn ours() -> Hello {
    Hello::new("ours", vec![Capability::new("eth", 68)], key(1).public_key())
}

fn theirs() -> Hello {
    Hello::new("theirs", vec![Capability::new("eth", 68)], key(2).public_key())
}

/// Sends `first` as the remote's first message; gives our result and what the remote was told.
async fn against(first: Option<Message>) -> (Result<Hello, HelloError>, Option<DisconnectReason>) {
    let (here, mut raw) = pipe(key(1).public_key(), key(2).public_key());
    let remote = tokio::spawn(async move {
        if let Some(first) = first {
            raw.send(first).await.unwrap();
        }
        let hello = raw.next().await.unwrap().unwrap();
        assert_eq!(hello, ours().message());
        let next = raw.next().await?.ok()?;
        assert_eq!(next.id, id::DISCONNECT);
        Some(DisconnectReason::decode(&next.payload))
    });
    let result = hello(here, &ours(), &config()).await;
    (result.map(|established| established.hello().clone()), remote.await.unwrap())
}

/// A Hello whose elements are given one by one.
fn raw_hello(elements: &[Vec<u8>]) -> Message {
    let mut list = RlpStream::new_list(elements.len());
    for element in elements {
        list.append_raw(element, 1);
    }
    message(id::HELLO, list.out().freeze())
}

fn elements() -> [Vec<u8>; 5] {
    let caps = {
        let mut list = RlpStream::new_list(1);
        list.begin_list(2).append(&"eth").append(&68_u8);
        list.out().to_vec()
    };
    [
        vec![0x05],
        rlp::encode(&"theirs").to_vec(),
        caps,
        vec![0x80],
        rlp::encode(&key(2).public_key().as_bytes().as_slice()).to_vec(),
    ]
}

fn with(index: usize, element: Vec<u8>) -> Message {
    let mut elements = elements();
    elements[index] = element;
    raw_hello(&elements)
}

#[tokio::test(start_paused = true)]
async fn hellos_cross() {
    let (here, there) = pipe(key(1).public_key(), key(2).public_key());
    let (ours, theirs, config) = (ours(), theirs(), config());
    let (left, right) = tokio::join!(hello(here, &ours, &config), hello(there, &theirs, &config));
    assert_eq!(left.unwrap().hello(), &theirs);
    assert_eq!(right.unwrap().hello(), &ours);
}

#[tokio::test(start_paused = true)]
async fn what_is_tolerated() {
    let huge = || rlp::encode(&[0xff_u8; 20].as_slice()).to_vec();
    let mut caps = RlpStream::new_list(6);
    caps.begin_list(2).append(&"eth").append(&68_u8);
    caps.begin_list(3).append(&"more").append(&1_u8).append(&"x");
    caps.begin_list(2).append(&"huge").append(&[0xff_u8; 20].as_slice());
    caps.begin_list(1).append(&"short");
    caps.append(&"text");
    caps.begin_list(2).append(&[0xff_u8, 0xfe].as_slice()).append(&1_u8);
    let known = theirs();

    let cases: [(&str, Message, Hello); 9] = [
        ("as it should be", raw_hello(&elements()), known.clone()),
        (
            "another element at the end",
            raw_hello(&[elements().to_vec(), vec![vec![0xc1, 0x01]]].concat()),
            known.clone(),
        ),
        ("an older version", with(0, vec![0x04]), Hello { version: 4, ..known.clone() }),
        ("a version of 20 bytes", with(0, huge()), Hello { version: u64::MAX, ..known.clone() }),
        ("a port of 20 bytes", with(3, huge()), known.clone()),
        (
            "odd capabilities",
            with(2, caps.out().to_vec()),
            Hello {
                capabilities: vec![Capability::new("eth", 68), Capability::new("more", 1)],
                ..known.clone()
            },
        ),
        (
            "a name with control characters",
            with(1, rlp::encode(&"a\u{1b}[31m\nb\u{9b}\0").to_vec()),
            Hello { name: "a[31mb".into(), ..known.clone() },
        ),
        (
            "a name that is shown as another",
            with(
                1,
                rlp::encode(&"\u{202e}a\u{200b}b\u{2066}c\u{200f}\u{2069}\u{feff} \u{20ac}")
                    .to_vec(),
            ),
            Hello { name: "abc \u{20ac}".into(), ..known.clone() },
        ),
        (
            "a name that is too long",
            with(1, rlp::encode(&"\u{20ac}".repeat(90).as_str()).to_vec()),
            Hello { name: "\u{20ac}".repeat(85), ..known.clone() },
        ),
    ];
    for (what, first, expected) in cases {
        let (result, told) = against(Some(first)).await;
        assert_eq!(result.unwrap(), expected, "{what}");
        assert_eq!(told, None, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_and_with_which_reason() {
    use DisconnectReason::*;
    let identity = |bytes: &[u8]| with(4, rlp::encode(&bytes).to_vec());
    let cases: [(&str, Message, DisconnectReason); 12] = [
        ("all-zero id", identity(&[0; 64]), InvalidIdentity),
        ("short id", identity(&[1; 63]), InvalidIdentity),
        ("no id", identity(&[]), InvalidIdentity),
        ("id off the curve", identity(&[1; 64]), UnexpectedIdentity),
        ("another id", identity(key(3).public_key().as_bytes()), UnexpectedIdentity),
        ("missing elements", raw_hello(&elements()[..4]), ProtocolError),
        ("name is a list", with(1, vec![0xc0]), ProtocolError),
        ("capabilities are a text", with(2, vec![0x80]), ProtocolError),
        ("no rlp", message(id::HELLO, vec![0xff; 9]), ProtocolError),
        ("nothing", message(id::HELLO, vec![]), ProtocolError),
        ("a ping first", message(id::PING, vec![0xc0]), ProtocolError),
        ("a subprotocol first", message(0x10, vec![0xc0]), ProtocolError),
    ];
    for (what, first, reason) in cases {
        let (result, told) = against(Some(first)).await;
        assert_eq!(result.unwrap_err().reason(), reason, "{what}");
        assert_eq!(told, Some(reason), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_two_kibibytes() {
    let (mut fits, mut over) = (theirs(), theirs());
    // The headers of a long name and a long list take three bytes more.
    let rest = fits.encode().len() - fits.name.len() + 3;
    fits.name = "x".repeat(Hello::MAX_SIZE - rest);
    assert_eq!(fits.encode().len(), Hello::MAX_SIZE);
    assert!(against(Some(fits.message())).await.0.is_ok());

    over.name = "x".repeat(Hello::MAX_SIZE - rest + 1);
    assert_eq!(Hello::decode(&over.encode()), Err(DecodeHelloError::TooLarge));
    let (here, _raw) = pipe(key(1).public_key(), key(2).public_key());
    let result = hello(here, &Hello { public_key: key(1).public_key(), ..over }, &config()).await;
    assert!(matches!(result, Err(HelloError::OwnTooLarge)));
}

/// A refusal is read whether or not our own Hello can still be written.
#[tokio::test(start_paused = true)]
async fn the_remote_refuses() {
    for payload in [vec![0xc1, 0x04], vec![0x04], vec![0x02, 0x04, 0xc1, 0x04]] {
        let (here, mut raw) = pipe(key(1).public_key(), key(2).public_key());
        raw.send(message(id::DISCONNECT, payload)).await.unwrap();
        drop(raw);
        let error = hello(here, &ours(), &config()).await.unwrap_err();
        assert!(matches!(error, HelloError::Disconnected(DisconnectReason::TooManyPeers)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_remote_closes_or_says_nothing() {
    let (here, raw) = pipe(key(1).public_key(), key(2).public_key());
    drop(raw);
    let error = hello(here, &ours(), &config()).await.unwrap_err();
    assert_eq!(error.reason(), DisconnectReason::NetworkError, "{error}");

    let start = now();
    let (result, told) = against(None).await;
    assert!(matches!(result, Err(HelloError::Timeout)));
    assert_eq!(told, Some(DisconnectReason::ReadTimeout));
    assert_eq!(start.elapsed(), Config::default().hello_timeout);
}

#[tokio::test(start_paused = true)]
async fn refusals_of_ours() {
    // Before the Hello, to a remote that reads and closes.
    let (here, mut raw) = pipe(key(1).public_key(), key(2).public_key());
    let told = tokio::spawn(async move { disconnected(&mut raw).await });
    let start = now();
    refuse(here, DisconnectReason::TooManyPeers, &config()).await;
    assert_eq!(start.elapsed(), secs(0));
    assert_eq!(told.await.unwrap(), Some(DisconnectReason::TooManyPeers));

    // To one that reads and does not close: the time to close.
    let (here, mut raw) = pipe(key(1).public_key(), key(2).public_key());
    let mut patient = config();
    patient.linger = secs(3);
    let told = async {
        let reason = disconnected(&mut raw).await;
        // The end is kept until the other side gives up.
        (reason, next(&mut raw).await)
    };
    let ((), told) = tokio::join!(refuse(here, DisconnectReason::TooManyPeers, &patient), told);
    assert_eq!(told, (Some(DisconnectReason::TooManyPeers), None));
    assert_eq!(start.elapsed(), secs(3));

    // To one that does not read at all: the time to write.
    let mut hasty = config();
    hasty.disconnect_write = millis(50);
    let mut narrow = PipeConfig::default();
    narrow.messages = 1;
    let (mut here, _raw) = pipe_with(key(1).public_key(), key(2).public_key(), &narrow);
    here.send(message(id::PING, vec![])).await.unwrap();
    refuse(here, DisconnectReason::TooManyPeers, &hasty).await;
    assert_eq!(start.elapsed(), secs(3) + millis(50));

    // After both Hellos.
    let (left, right) = established(&config(), &Default::default(), &[], &[]).await;
    let right = run(right, &[], devp2p_peer::Direction::Inbound);
    left.disconnect(DisconnectReason::UselessPeer, secs(2)).await;
    assert_eq!(right.end.await.unwrap().reason, DisconnectReason::UselessPeer);
}

#[test]
fn capabilities_are_sent_sorted() {
    let shuffled = ["b/2", "a/1", "b/1", "a/10", "a/9"].map(|text| {
        let (name, version) = text.split_once('/').unwrap();
        Capability::new(name, version.parse().unwrap())
    });
    let hello = Hello { capabilities: shuffled.to_vec(), ..ours() };
    let sorted: Vec<String> = Hello::decode(&hello.encode())
        .unwrap()
        .capabilities
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(sorted, ["a/1", "a/9", "a/10", "b/1", "b/2"]);
}

#[test]
fn no_compression_with_an_older_version() {
    assert!(!Hello { version: 4, ..theirs() }.snappy());
    assert!(Hello { version: 6, ..theirs() }.snappy());
}

proptest! {
    #[test]
    fn nothing_panics(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(hello) = Hello::decode(&payload) {
            prop_assert!(hello.name.len() <= Hello::MAX_NAME);
        }
    }

    #[test]
    fn no_cut_or_changed_byte_panics(
        at in 0_usize..200,
        to: u8,
        cut in 0_usize..200,
        name in "\\PC{0,80}",
    ) {
        let mut bytes = Hello { name, ..theirs() }.encode().to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to;
        }
        let _ = Hello::decode(&bytes);
        bytes.truncate(cut);
        let _ = Hello::decode(&bytes);
    }

    #[test]
    fn what_is_sent_is_read(
        version: u64,
        name in r"[^\p{Cc}\x{ad}\x{61c}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}\x{feff}]{0,60}",
        caps in proptest::collection::vec(("[!-~]{1,12}", any::<u64>()), 0..20),
        listen_port: u16,
    ) {
        let mut capabilities: Vec<_> =
            caps.into_iter().map(|(name, version)| Capability::new(name, version)).collect();
        capabilities.sort();
        let hello = Hello { version, name, capabilities, listen_port, ..theirs() };
        let bytes: Bytes = hello.encode();
        prop_assume!(bytes.len() <= Hello::MAX_SIZE);
        prop_assert_eq!(Hello::decode(&bytes), Ok(hello));
    }
}
