use data_encoding::HEXLOWER;
use devp2p_core::{Message, NodeId, Rng};
use devp2p_peer::{Capability, Peer, ProtocolError, ProtocolStream, Subprotocol};
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{Batch, process::BATCH_PATIENCE};

/// Counted and hashed, as are the ids without a name: the highest must arrive too.
const DATA: u64 = 0;
/// Ends a batch: answered with [`ACK`].
const MARK: u64 = 1;
/// The tally of a batch.
const ACK: u64 = 2;
/// Answered with [`ECHO_REPLY`] and the same payload.
const ECHO: u64 = 3;
const ECHO_REPLY: u64 = 4;
const LENGTH: u64 = 8;

/// How many sessions may wait for the test to take them.
const SESSION_QUEUE: usize = 64;
/// How many messages of a session may wait to be written, answers included.
const OUTGOING_QUEUE: usize = 1024;
/// How many batches and answers may wait for the test.
const RESULT_QUEUE: usize = 64;

/// Our side of the test subprotocol. It answers by itself; what the test wants of a session
/// beyond that it asks for through a [`Session`].
#[derive(Debug)]
pub struct Itest {
    name: &'static str,
    sessions: mpsc::Sender<Session>,
}

/// The sessions of an [`Itest`], as they begin.
#[derive(Debug)]
pub struct Sessions {
    next: mpsc::Receiver<Session>,
    /// Those that began while another was waited for.
    passed: Vec<Session>,
}

/// One session. It goes on without this handle.
#[derive(Debug)]
pub struct Session {
    peer: Peer,
    name: &'static str,
    outgoing: mpsc::Sender<Message>,
    received: mpsc::Receiver<Batch>,
    answers: mpsc::Receiver<Message>,
    end: Option<oneshot::Sender<Result<(), ProtocolError>>>,
}

impl Itest {
    /// The subprotocol of this name, version 1: "itest" or "itestb".
    pub fn new(name: &'static str) -> (Self, Sessions) {
        let (sender, receiver) = mpsc::channel(SESSION_QUEUE);
        (Self { name, sessions: sender }, Sessions { next: receiver, passed: Vec::new() })
    }
}

impl Subprotocol for Itest {
    fn capability(&self) -> Capability {
        Capability::new(self.name, 1)
    }

    fn length(&self) -> u64 {
        LENGTH
    }

    async fn run(&self, peer: Peer, stream: ProtocolStream) -> Result<(), ProtocolError> {
        let id = peer.id();
        let (outgoing, queue) = mpsc::channel(OUTGOING_QUEUE);
        let (batches, received) = mpsc::channel(RESULT_QUEUE);
        let (answer, answers) = mpsc::channel(RESULT_QUEUE);
        let (end, ended) = oneshot::channel();
        let session = Session {
            peer,
            name: self.name,
            outgoing: outgoing.clone(),
            received,
            answers,
            end: Some(end),
        };
        // A test that takes no sessions is served all the same.
        let _ = self.sessions.try_send(session);

        // Reading and writing go on side by side: neither waits for the other.
        let (sink, stream) = stream.split();
        let reader = Reader { id, name: self.name, outgoing, batches, answer };
        tokio::select! {
            biased;
            Ok(result) = ended => result,
            result = reader.run(stream) => result,
            result = write(sink, queue) => result,
        }
    }
}

impl Sessions {
    /// The first session with `id` that goes on and was not taken yet.
    ///
    /// # Panics
    /// When there is none for a minute.
    pub async fn with(&mut self, id: NodeId) -> Session {
        let next = async {
            loop {
                self.passed.retain(|session| !session.peer.is_closed());
                if let Some(at) = self.passed.iter().position(|session| session.peer.id() == id) {
                    return self.passed.remove(at);
                }
                self.passed.push(self.next.recv().await.expect("the subprotocol is running"));
            }
        };
        timeout(BATCH_PATIENCE, next).await.expect("a session begins")
    }
}

impl Session {
    /// The peer.
    pub const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Sends `count` messages of `min` to `max` bytes and a mark, and gives the tally of it.
    ///
    /// # Panics
    /// When the session ends before that.
    pub async fn begin_batch(&mut self, count: u64, (min, max): (usize, usize)) -> Batch {
        let mut tally = Tally::default();
        let mut rng = Rng::from_seed([7; 32]);
        for index in 0..count {
            let room = u64::try_from(max - min).expect("a size is a number");
            let size = min + usize::try_from(rng.below(room + 1)).expect("a size is a number");
            let id = if index % 2 == 0 { DATA } else { LENGTH - 1 };
            let message = Message { id, payload: content(&mut rng, size).into() };
            tally.add(&message);
            self.write(message).await;
        }
        self.write(Message { id: MARK, payload: Default::default() }).await;
        tally.batch(self.peer.id(), self.name)
    }

    /// Waits until the remote has received this batch, as it was sent.
    ///
    /// # Panics
    /// When the remote saw something else, or nothing for a minute.
    pub async fn acked(&mut self, batch: &Batch) {
        let answer = self.answer(ACK).await;
        let (count, hash) = answer.split_at(8);
        assert_eq!(count, batch.count.to_be_bytes(), "all messages arrived");
        assert_eq!(HEXLOWER.encode(hash), batch.sha256, "the messages arrived as they were sent");
    }

    /// Our tally of the next batch that the remote sends.
    ///
    /// # Panics
    /// When none is complete within a minute.
    pub async fn received(&mut self) -> Batch {
        let batch = timeout(BATCH_PATIENCE, self.received.recv()).await;
        batch.expect("a batch arrives in time").expect("the session goes on")
    }

    /// Sends one message that must come back unchanged.
    ///
    /// # Panics
    /// When it does not.
    pub async fn echo(&mut self, size: usize) {
        let payload = content(&mut Rng::from_seed([8; 32]), size);
        self.write(Message { id: ECHO, payload: payload.clone().into() }).await;
        assert!(self.answer(ECHO_REPLY).await == payload, "the echo came back as it was sent");
    }

    /// Has the subprotocol return this.
    pub fn end(&mut self, result: Result<(), ProtocolError>) {
        if let Some(end) = self.end.take() {
            let _ = end.send(result);
        }
    }

    async fn write(&self, message: Message) {
        self.outgoing.send(message).await.expect("the session goes on");
    }

    async fn answer(&mut self, id: u64) -> Vec<u8> {
        let answer = timeout(BATCH_PATIENCE, self.answers.recv()).await;
        let answer = answer.expect("an answer arrives in time").expect("the session goes on");
        assert_eq!(answer.id, id, "the answer to what was asked");
        answer.payload.to_vec()
    }
}

/// What takes a session's messages.
struct Reader {
    id: NodeId,
    name: &'static str,
    outgoing: mpsc::Sender<Message>,
    batches: mpsc::Sender<Batch>,
    answer: mpsc::Sender<Message>,
}

impl Reader {
    async fn run(
        self,
        mut stream: impl Stream<Item = Message> + Unpin,
    ) -> Result<(), ProtocolError> {
        let mut tally = Tally::default();
        while let Some(message) = stream.next().await {
            match message.id {
                MARK => {
                    self.reply(ACK, tally.encode())?;
                    let batch = std::mem::take(&mut tally).batch(self.id, self.name);
                    let _ = self.batches.try_send(batch);
                }
                ECHO => self.reply(ECHO_REPLY, message.payload.to_vec())?,
                ACK | ECHO_REPLY => {
                    let _ = self.answer.try_send(message);
                }
                _ => tally.add(&message),
            }
        }
        Ok(())
    }

    fn reply(&self, id: u64, payload: Vec<u8>) -> Result<(), ProtocolError> {
        self.outgoing
            .try_send(Message { id, payload: payload.into() })
            .map_err(ProtocolError::failed)
    }
}

async fn write(
    mut sink: impl Sink<Message, Error = devp2p_peer::SendError> + Unpin,
    mut queue: mpsc::Receiver<Message>,
) -> Result<(), ProtocolError> {
    while let Some(message) = queue.recv().await {
        sink.feed(message).await?;
        if queue.is_empty() {
            sink.flush().await?;
        }
    }
    Ok(())
}

/// What one side saw of a batch so far.
#[derive(Default)]
struct Tally {
    count: u64,
    size: u64,
    hash: Sha256,
}

impl Tally {
    fn add(&mut self, message: &Message) {
        let id = u32::try_from(message.id).expect("ids are small");
        let length = u32::try_from(message.payload.len()).expect("messages are below 16 MiB");
        self.count += 1;
        self.size += u64::from(length);
        self.hash.update(id.to_be_bytes());
        self.hash.update(length.to_be_bytes());
        self.hash.update(&message.payload);
    }

    /// The payload of [`ACK`].
    fn encode(&self) -> Vec<u8> {
        let mut payload = self.count.to_be_bytes().to_vec();
        payload.extend_from_slice(&self.hash.clone().finalize());
        payload
    }

    fn batch(self, id: NodeId, name: &str) -> Batch {
        Batch {
            id,
            proto: name.to_owned(),
            count: self.count,
            size: self.size,
            sha256: HEXLOWER.encode(&self.hash.finalize()),
        }
    }
}

/// Bytes of which about half can be compressed.
fn content(rng: &mut Rng, size: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(size + 64);
    let mut block = [0; 64];
    rng.fill(&mut block);
    while payload.len() < size {
        if rng.below(2) == 0 {
            rng.fill(&mut block);
        }
        payload.extend_from_slice(&block);
    }
    payload.truncate(size);
    payload
}
