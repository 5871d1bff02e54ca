//! `rlpx` and `peer`, without a server, with go-ethereum on the other side.

use std::time::Duration;

use devp2p_core::{NodeId, NodeKey};
use devp2p_interop::{Event, Foreign, Local, Raw, Running};
use devp2p_peer::{Direction, DisconnectReason, HelloError, ProtocolError, Side, id};
use tokio::time::timeout;

/// The reasons that the specification names, and one that it does not.
const REASONS: [u8; 14] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x10, 0x42];

const CAPABILITIES: &[(&str, u64)] = &[("itest", 1)];
/// The first message id of `itest` where it is the only capability.
const ITEST: u64 = 0x10;
const MARK: u64 = ITEST + 1;
const ACK: u64 = ITEST + 2;
const ECHO: u64 = ITEST + 3;
const ECHO_REPLY: u64 = ITEST + 4;

async fn new_local() -> Local {
    Local::new(NodeKey::generate().unwrap()).await
}

/// Lets raw geth dial us and exchange Hellos.
async fn raw_session(local: &mut Local, raw: &mut Raw) -> (Running, u32) {
    let node = local.node();
    let (conn, established) = tokio::join!(
        async {
            let conn = raw.dial(&node).await;
            raw.hello(conn, 5, CAPABILITIES).await;
            conn
        },
        local.accept()
    );
    (local.run(established.unwrap(), Direction::Inbound), conn)
}

#[tokio::test]
async fn hello_both_ways_and_compressed_messages_after_it() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut geth = geth.server(&["-name", "geth under test"]).await;
    let mut local = new_local().await;

    let established = local.dial(geth.node()).await.unwrap();
    let hello = established.hello();
    assert_eq!((hello.version, hello.name.as_str()), (5, "geth under test"));
    let capabilities: Vec<_> = hello.capabilities.iter().map(ToString::to_string).collect();
    assert_eq!(capabilities, ["itest/1", "itestb/1"]);

    let running = local.run(established, Direction::Outbound);
    let Event::PeerAdd { name, caps, inbound, .. } = geth.added(local.id()).await else {
        unreachable!("added gives this event")
    };
    assert_eq!((name.as_str(), inbound), ("devp2p-interop", Some(true)));
    assert_eq!(caps, ["itest/1", "itestb/1"]);

    let mut session = local.itest.with(geth.id()).await;
    session.echo(1000).await;
    geth.echo(local.id(), "itestb", 1000).await;

    running.peer.disconnect(DisconnectReason::Requested);
    running.end.await.unwrap();
}

#[tokio::test]
async fn geth_understands_every_reason() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut geth = geth.server(&[]).await;
    let mut local = new_local().await;
    for code in REASONS {
        let (running, _session) = local.dial_and_run(geth.node()).await;
        running.peer.disconnect(DisconnectReason::from_code(code));
        let end = running.end.await.unwrap();
        assert_eq!((end.reason.code(), end.side), (code, Side::Local));
        let dropped = geth.dropped(local.id()).await;
        if code == DisconnectReason::NetworkError.code() {
            // Nobody says that the network failed; the connection is closed.
            assert_eq!((dropped.reason, dropped.error.as_str()), (None, "EOF"));
        } else {
            assert_eq!((dropped.reason, dropped.by_remote), (Some(code), true), "{code:#x}");
        }
    }
}

#[tokio::test]
async fn every_reason_of_geth_is_understood() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut geth = geth.server(&[]).await;
    let mut local = new_local().await;
    for code in REASONS {
        let (running, _session) = local.dial_and_run(geth.node()).await;
        geth.added(local.id()).await;
        geth.disconnect(local.id(), code).await;
        let end = running.end.await.unwrap();
        assert_eq!((end.reason.code(), end.side), (code, Side::Remote), "{end:?}");
        geth.dropped(local.id()).await;
    }
}

#[tokio::test]
async fn the_end_of_a_subprotocol_has_its_reason_on_either_side() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut geth = geth.server(&[]).await;
    let mut local = new_local().await;

    let failed = || ProtocolError::failed(std::io::Error::other("told to fail"));
    let ours = [
        (Ok(()), 0x08),
        (Err(ProtocolError::bad_message("told to find one")), 0x02),
        (Err(failed()), 0x10),
        (Err(ProtocolError::Disconnect(DisconnectReason::UselessPeer)), 0x03),
    ];
    for (result, code) in ours {
        let (running, mut session) = local.dial_and_run(geth.node()).await;
        session.end(result);
        assert_eq!(running.end.await.unwrap().reason.code(), code);
        assert_eq!(geth.dropped(local.id()).await.reason, Some(code));
    }

    for (how, code) in [("ok", 0x08), ("bad message", 0x02), ("error", 0x10)] {
        let (running, mut session) = local.dial_and_run(geth.node()).await;
        session.echo(1).await;
        geth.end_subprotocol(local.id(), how).await;
        let end = running.end.await.unwrap();
        assert_eq!((end.reason.code(), end.side), (code, Side::Remote), "{how}");
        geth.dropped(local.id()).await;
    }
}

#[tokio::test]
async fn the_refusals_of_geth_are_understood() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let local = new_local().await;
    let refused = async |geth: &Foreign| match local.dial(geth.node()).await {
        Err(HelloError::Disconnected(reason)) => reason,
        other => panic!("{other:?}"),
    };

    // Its only slot is for a peer that it dials; it refuses before Hello.
    let full = geth.server(&["-maxpeers", "1"]).await;
    assert_eq!(refused(&full).await, DisconnectReason::TooManyPeers);

    let mut busy = geth.server(&[]).await;
    let first = local.run(local.dial(busy.node()).await.unwrap(), Direction::Outbound);
    busy.added(local.id()).await;
    assert_eq!(refused(&busy).await, DisconnectReason::AlreadyConnected);
    assert!(!first.peer.is_closed());

    let key = NodeKey::generate().unwrap();
    let secret = data_encoding::HEXLOWER.encode(&*key.to_bytes());
    let twin = geth.server(&["-key", &secret]).await;
    match Local::new(key).await.dial(twin.node()).await {
        Err(HelloError::Disconnected(reason)) => assert_eq!(reason, DisconnectReason::SelfConnect),
        other => panic!("{other:?}"),
    }

    // It looks at the capabilities after Hello, so the Disconnect comes after it too.
    let other = geth.server(&["-protocols", "other"]).await;
    let established = local.dial(other.node()).await.unwrap();
    let end = local.run(established, Direction::Outbound).end.await.unwrap();
    assert_eq!((end.reason, end.side), (DisconnectReason::UselessPeer, Side::Remote));
}

#[tokio::test]
async fn a_disconnect_is_read_in_every_encoding() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut raw = geth.raw(&[]).await;
    let mut local = new_local().await;
    for code in REASONS {
        // As the list [code] and as the bare code; a bare 0 is the empty string.
        let bare = if code == 0 { vec![0x80] } else { vec![code] };
        let list: Vec<u8> = [0xc1].into_iter().chain(bare.clone()).collect();
        for (payload, compress) in [(&list, true), (&list, false), (&bare, true), (&bare, false)] {
            let (running, conn) = raw_session(&mut local, &mut raw).await;
            if compress {
                raw.write_snappy(conn, id::DISCONNECT, payload).await;
            } else {
                raw.write(conn, id::DISCONNECT, payload).await;
            }
            let end = running.end.await.unwrap();
            let what = format!("{payload:02x?}, compressed: {compress}");
            assert_eq!((end.reason.code(), end.side), (code, Side::Remote), "{what}");
            raw.closed(conn).await;
        }
    }
    for payload in [&[0xc0][..], &[0x80], &[]] {
        let (running, conn) = raw_session(&mut local, &mut raw).await;
        raw.write_snappy(conn, id::DISCONNECT, payload).await;
        assert_eq!(running.end.await.unwrap().reason, DisconnectReason::Requested);
        raw.closed(conn).await;
    }
}

#[tokio::test]
async fn a_disconnect_instead_of_hello_is_read_in_every_encoding() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut raw = geth.raw(&[]).await;
    let local = new_local().await;
    for payload in [&[0xc1, 0x04][..], &[0x04]] {
        let node = local.node();
        let (conn, refused) = tokio::join!(
            async {
                let conn = raw.dial(&node).await;
                raw.write(conn, id::DISCONNECT, payload).await;
                conn
            },
            local.accept()
        );
        let understood =
            matches!(refused, Err(HelloError::Disconnected(DisconnectReason::TooManyPeers)));
        assert!(understood, "{payload:02x?}: {refused:?}");
        raw.closed(conn).await;
    }
}

#[tokio::test]
async fn a_hello_with_a_bad_identity_is_refused() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut raw = geth.raw(&[]).await;
    let local = new_local().await;
    let zero = "00".repeat(64);
    let short = "01".repeat(63);
    let other = local.node().public_key().to_string();
    for (identity, code) in [(zero, 0x07), (short, 0x07), (other, 0x09)] {
        let node = local.node();
        let (told, refused) = tokio::join!(
            async {
                let conn = raw.dial(&node).await;
                raw.hello_as(conn, 5, CAPABILITIES, &identity).await;
                let told = raw.read_message(conn, id::DISCONNECT).await;
                raw.close(conn).await;
                told
            },
            local.accept()
        );
        assert_eq!(refused.unwrap_err().reason().code(), code);
        // Compressed: geth, which has read our Hello, takes nothing else.
        assert_eq!(told, (vec![0xc1, code], true));
    }
}

#[tokio::test]
async fn an_older_version_gets_no_compression() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut raw = geth.raw(&[]).await;
    let local = new_local().await;
    let node = local.node();
    let (conn, established) = tokio::join!(
        async {
            let conn = raw.dial(&node).await;
            raw.hello(conn, 4, CAPABILITIES).await;
            conn
        },
        local.accept()
    );
    let _running = local.run(established.unwrap(), Direction::Inbound);
    raw.write(conn, ECHO, b"as it is").await;
    assert_eq!(raw.read(conn, ECHO_REPLY).await, b"as it is");
}

#[tokio::test]
async fn pings_are_answered_and_unknown_ids_refused() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut raw = geth.raw(&[]).await;
    let mut local = new_local().await;

    let (running, conn) = raw_session(&mut local, &mut raw).await;
    raw.write_snappy(conn, id::PING, &[0xc0]).await;
    assert_eq!(raw.read(conn, id::PONG).await, [0xc0]);
    raw.write_snappy(conn, MARK, &[]).await;
    assert_eq!(raw.read(conn, ACK).await.len(), 8 + 32);

    // One past the last id of the only capability.
    raw.write_snappy(conn, ITEST + 8, &[0xc0]).await;
    assert_eq!(raw.read(conn, id::DISCONNECT).await, [0xc1, 0x02]);
    raw.close(conn).await;
    let end = timeout(Duration::from_secs(10), running.end).await.unwrap().unwrap();
    assert_eq!((end.reason, end.side), (DisconnectReason::ProtocolError, Side::Local));
}

#[tokio::test]
async fn a_connection_that_breaks_off_ends_the_session() {
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut raw = geth.raw(&[]).await;
    let mut local = new_local().await;
    let (running, conn) = raw_session(&mut local, &mut raw).await;
    assert_eq!(running.peer.id(), NodeId::from(raw.node().public_key()));
    raw.close(conn).await;
    let end = running.end.await.unwrap();
    assert_eq!((end.reason, end.side), (DisconnectReason::NetworkError, Side::Remote));
}
