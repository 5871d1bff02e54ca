//! The subprotocol `demo/1`: a small one that shows that messages flow.
//!
//! | id | message | content | meaning |
//! |---|---|---|---|
//! | 0x00 | Greeting | `[text: B]` | sent first, once, by both sides; up to 256 bytes of UTF-8 |
//! | 0x01 | Echo | `[number: P, data: B]` | asks for the same content back; up to 1 KiB of data |
//! | 0x02 | EchoReply | `[number: P, data: B]` | the content of the Echo with this number |
//!
//! Echoes are numbered from 1; one goes out after the Greeting and then every 15 s, and never
//! before the last one was answered. Anything else than the table says is a breach of protocol.

use std::time::Duration;

use bytes::Bytes;
use devp2p_core::Message;
use devp2p_peer::{Capability, Peer, ProtocolError, ProtocolStream, Subprotocol};
use futures::{SinkExt as _, StreamExt as _};
use rlp::{DecoderError, Rlp, RlpStream};
use tokio::time::{MissedTickBehavior, interval};

use crate::output::{Line, Reporter};

const GREETING: u64 = 0x00;
const ECHO: u64 = 0x01;
const ECHO_REPLY: u64 = 0x02;
const LENGTH: u64 = 3;

/// A line on a terminal.
const MAX_GREETING: usize = 256;

/// Whoever echoes holds the data, so that it has a limit.
const MAX_DATA: usize = 1_024;

const ECHO_INTERVAL: Duration = Duration::from_secs(15);

/// The subprotocol; reports each peer's greeting and each answered echo.
#[derive(Debug)]
pub(crate) struct Demo {
    greeting: String,
    reporter: Reporter,
}

impl Demo {
    /// Greets with `greeting`, cut to what a greeting may have.
    pub(crate) fn new(greeting: &str, reporter: Reporter) -> Self {
        let end = greeting.floor_char_boundary(MAX_GREETING);
        Self { greeting: greeting.split_at(end).0.to_owned(), reporter }
    }
}

impl Subprotocol for Demo {
    fn capability(&self) -> Capability {
        Capability::new("demo", 1)
    }

    fn length(&self) -> u64 {
        LENGTH
    }

    async fn run(&self, peer: Peer, mut stream: ProtocolStream) -> Result<(), ProtocolError> {
        stream.send(greeting(&self.greeting)).await?;
        let Some(first) = stream.next().await else { return Ok(()) };
        let text = read_greeting(&first)?;
        self.reporter.report(Line::of_peer("greeting", peer.id()).with("text", text)).await;

        let mut ticks = interval(ECHO_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut number, mut waiting) = (0_u64, false);
        loop {
            // What has arrived goes first: the answer to the last echo may be among it.
            tokio::select! {
                biased;
                message = stream.next() => {
                    let Some(message) = message else { return Ok(()) };
                    let echo = Echo::read(&message)?;
                    match message.id {
                        ECHO => stream.send(echo.message(ECHO_REPLY)).await?,
                        ECHO_REPLY if waiting && echo == Echo::new(number) => {
                            waiting = false;
                            let line = Line::of_peer("echo", peer.id()).with("number", number);
                            self.reporter.report(line).await;
                        }
                        ECHO_REPLY => {
                            return Err(ProtocolError::bad_message("an answer to no echo of ours"));
                        }
                        _ => return Err(ProtocolError::bad_message("a second greeting")),
                    }
                }
                _ = ticks.tick(), if !waiting => {
                    number = number.saturating_add(1);
                    waiting = true;
                    stream.send(Echo::new(number).message(ECHO)).await?;
                }
            }
        }
    }
}

fn greeting(text: &str) -> Message {
    let mut list = RlpStream::new_list(1);
    list.append(&text);
    Message { id: GREETING, payload: list.out().freeze() }
}

fn read_greeting(message: &Message) -> Result<String, ProtocolError> {
    if message.id != GREETING {
        return Err(ProtocolError::bad_message("no greeting first"));
    }
    let text: String = Rlp::new(&message.payload).val_at(0).map_err(ProtocolError::bad_message)?;
    if text.len() > MAX_GREETING {
        return Err(ProtocolError::bad_message("a greeting above 256 bytes"));
    }
    Ok(text)
}

/// The content of both echo messages.
#[derive(Debug, PartialEq, Eq)]
struct Echo {
    number: u64,
    data: Bytes,
}

impl Echo {
    /// Our own echo with this number.
    fn new(number: u64) -> Self {
        Self { number, data: Bytes::copy_from_slice(&number.to_be_bytes()) }
    }

    fn read(message: &Message) -> Result<Self, ProtocolError> {
        let read = || -> Result<Self, DecoderError> {
            let list = Rlp::new(&message.payload);
            let data = list.at(1)?.data()?;
            Ok(Self { number: list.val_at(0)?, data: message.payload.slice_ref(data) })
        };
        let echo = read().map_err(ProtocolError::bad_message)?;
        if echo.data.len() > MAX_DATA {
            return Err(ProtocolError::bad_message("an echo above 1 KiB"));
        }
        Ok(echo)
    }

    fn message(&self, id: u64) -> Message {
        let mut list = RlpStream::new_list(2);
        list.append(&self.number).append(&self.data.as_ref());
        Message { id, payload: list.out().freeze() }
    }
}

#[cfg(test)]
mod tests {
    use devp2p_peer::{DisconnectReason, Side};

    use super::*;
    use crate::{output::reporter, testing::end_with};

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_the_table_of_messages_is_dropped() {
        let hello = || greeting("hi");
        let answer = |number| Echo::new(number).message(ECHO_REPLY);
        let wrong = Message { payload: Echo::new(2).message(ECHO).payload, ..answer(1) };
        let cases = [
            (vec![answer(1)], false),
            (vec![hello(), hello()], false),
            (vec![hello(), answer(2)], false),
            (vec![hello(), wrong], false),
            (vec![hello(), answer(1), answer(1)], false),
            (vec![hello()], true),
            (vec![hello(), answer(1), Echo::new(9).message(ECHO)], true),
        ];
        for (messages, good) in cases {
            let (reporter, _lines) = reporter();
            let end = end_with(Demo::new("hello", reporter), messages.clone()).await;
            let expected = if good {
                (DisconnectReason::Quitting, Side::Remote)
            } else {
                (DisconnectReason::ProtocolError, Side::Local)
            };
            assert_eq!((end.reason, end.side), expected, "{messages:?}");
        }
    }

    #[test]
    fn messages_have_the_bytes_that_are_documented() {
        assert_eq!(greeting("hi").payload.as_ref(), [0xc3, 0x82, b'h', b'i']);
        assert_eq!(read_greeting(&greeting("hi")).unwrap(), "hi");
        let echo = Echo { number: 1, data: Bytes::from_static(b"ab") };
        let message = echo.message(ECHO);
        assert_eq!(
            (message.id, message.payload.as_ref()),
            (0x01, &[0xc4, 1, 0x82, b'a', b'b'][..])
        );
        assert_eq!(Echo::read(&message).unwrap(), echo);
    }

    #[test]
    fn what_is_too_long_or_malformed_is_refused() {
        let longest = "x".repeat(MAX_GREETING);
        assert!(read_greeting(&greeting(&longest)).is_ok());
        assert!(read_greeting(&greeting(&format!("{longest}x"))).is_err());
        let mut not_utf8 = RlpStream::new_list(1);
        not_utf8.append(&[0xff_u8, 0xfe].as_slice());
        let not_utf8 = Message { id: GREETING, payload: not_utf8.out().freeze() };
        assert!(read_greeting(&not_utf8).is_err());

        let echo = |size| Echo { number: 1, data: vec![7; size].into() }.message(ECHO);
        assert!(Echo::read(&echo(MAX_DATA)).is_ok());
        assert!(Echo::read(&echo(MAX_DATA + 1)).is_err());
        for payload in [&[][..], &[0xc0], &[0xc1, 0x01], &[0xc2, 0x82, 0x00], &[0x01], &[0xff; 9]] {
            let message = Message { id: ECHO, payload: Bytes::copy_from_slice(payload) };
            assert!(Echo::read(&message).is_err(), "{payload:02x?}");
        }
    }
}
