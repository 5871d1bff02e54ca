//! Whatever is sent, in whatever pieces the stream moves it, arrives as it was and in order.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use devp2p_core::{Connection as _, Message};
use devp2p_rlpx::{Config, Connection, MAX_FRAME_SIZE};
use futures::{SinkExt as _, StreamExt as _};
use proptest::{collection::vec, prelude::*};
use tokio::io::{AsyncRead, AsyncWrite, duplex};

use crate::support::{Fragmented, connected_over, established, noise};

#[derive(Clone, Debug)]
struct Batch {
    messages: Vec<Message>,
}

fn payload() -> impl Strategy<Value = Bytes> {
    let size = prop_oneof![0..64_usize, 0..3_000_usize, 30_000..70_000_usize];
    prop_oneof![
        (size.clone(), any::<u8>()).prop_map(|(size, seed)| noise(size, seed)),
        (size, any::<u8>()).prop_map(|(size, byte)| vec![byte; size].into()),
    ]
}

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    // Of the capabilities: only theirs may be large.
    let id = prop_oneof![0x10..0x80_u64, 0x10..=u64::MAX];
    let message = (id, payload()).prop_map(|(id, payload)| Message { id, payload });
    vec(vec(message, 1..6).prop_map(|messages| Batch { messages }), 0..6)
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    // At least one piece moves something, or nothing ever would.
    (vec(prop_oneof![Just(0), 1..40_usize, 1..20_000_usize], 0..8), 500..20_000_usize).prop_map(
        |(mut sizes, some)| {
            sizes.push(some);
            sizes
        },
    )
}

async fn send_all<Io>(mut connection: Connection<Io>, batches: &[Batch]) -> Connection<Io>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    for batch in batches {
        for message in &batch.messages {
            connection.feed(message.clone()).await.unwrap();
        }
        connection.flush().await.unwrap();
    }
    connection.close().await.unwrap();
    connection
}

async fn receive_all<Io>(connection: &mut Connection<Io>, batches: &[Batch])
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    for message in batches.iter().flat_map(|batch| &batch.messages) {
        assert_eq!(&connection.next().await.unwrap().unwrap(), message);
    }
    assert!(connection.next().await.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn batches_arrive_over_any_stream(
        batches in batches(),
        snappy in any::<bool>(),
        capacity in 1_000..100_000_usize,
        (near, far) in (pieces(), pieces()),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (near_io, far_io) = duplex(capacity);
            let (near_io, far_io) =
                (Fragmented::new(near_io, &near), Fragmented::new(far_io, &far));
            let (mut near, mut far) =
                connected_over(near_io, far_io, &Config::default()).await;
            Pin::new(&mut near).established(snappy);
            Pin::new(&mut far).established(snappy);
            let (near, ()) =
                tokio::join!(send_all(near, &batches), receive_all(&mut far, &batches));
            assert_eq!(near.traffic().egress, far.traffic().ingress);
        });
    }

    #[test]
    fn a_codec_opens_what_the_other_sealed_from_any_pieces(
        batches in batches(),
        snappy in any::<bool>(),
        cuts in vec(1..5_000_usize, 1..20),
    ) {
        let (mut a, mut b) = established(MAX_FRAME_SIZE, snappy);
        let messages: Vec<_> = batches.iter().flat_map(|batch| &batch.messages).collect();
        let mut wire = BytesMut::new();
        for message in &messages {
            a.seal(message.id, &message.payload, &mut wire).unwrap();
        }
        let (mut input, mut opened, mut cut) = (BytesMut::new(), Vec::new(), cuts.iter().cycle());
        while !wire.is_empty() {
            let piece = wire.split_to((*cut.next().unwrap()).min(wire.len()));
            input.extend_from_slice(&piece);
            while let Some(message) = b.open(&mut input).unwrap() {
                opened.push(message);
            }
        }
        prop_assert!(input.is_empty() && opened.iter().eq(messages));
    }

    #[test]
    fn bytes_that_are_no_frames_are_an_error(junk in vec(any::<u8>(), 32..200)) {
        let (_, mut b) = established(MAX_FRAME_SIZE, true);
        prop_assert!(b.open(&mut BytesMut::from(&junk[..])).is_err());
    }
}
