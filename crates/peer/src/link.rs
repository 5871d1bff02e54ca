use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use devp2p_core::{Message, NodeId, Traffic};

use crate::{
    Direction, DisconnectReason, Hello, SendError, Session, SharedCapability, driver::clock,
};

/// What the driver of a peer, its subprotocols' streams and its handles share.
///
/// One lock guards the session and is held for the time of a queue operation, never while
/// anything is waited for; wakers are called after it was released.
pub(crate) struct Link {
    pub(crate) id: NodeId,
    pub(crate) facts: Facts,
    pub(crate) shared: Vec<SharedCapability>,
    state: Mutex<State>,
}

/// What is known of the peer from the beginning.
pub(crate) struct Facts {
    pub(crate) hello: Hello,
    pub(crate) direction: Direction,
    pub(crate) local_addr: Option<SocketAddr>,
    pub(crate) remote_addr: Option<SocketAddr>,
}

pub(crate) struct State {
    pub(crate) session: Session,
    pub(crate) traffic: Traffic,
    /// The peer ends because the node stops.
    pub(crate) stopping: bool,
    driver: Option<Waker>,
    wakers: Vec<Wakers>,
}

/// Who waits at one subprotocol's queues.
#[derive(Default)]
struct Wakers {
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Link {
    pub(crate) fn new(facts: Facts, session: Session) -> Self {
        let shared = session.shared().to_vec();
        let wakers = shared.iter().map(|_| Wakers::default()).collect();
        let traffic = Traffic::default();
        let state = State { session, traffic, stopping: false, driver: None, wakers };
        let id = NodeId::from(facts.hello.public_key);
        Self { id, facts, shared, state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not become one here; the session is valid between its calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the driver's task, to be woken when streams or handles leave it something to do.
    pub(crate) fn register_driver(&self, cx: &Context<'_>) {
        register(&mut self.lock().driver, cx);
    }

    /// A message waits for this subprotocol.
    pub(crate) fn wake_reader(&self, protocol: usize) {
        let waker = self.lock().wakers.get_mut(protocol).and_then(|wakers| wakers.reader.take());
        wake(waker);
    }

    /// A message of this subprotocol went out.
    pub(crate) fn wake_writer(&self, protocol: usize) {
        let waker = self.lock().wakers.get_mut(protocol).and_then(|wakers| wakers.writer.take());
        wake(waker);
    }

    /// The peer has ended: everyone who waits is to see it.
    pub(crate) fn wake_all(&self) {
        let mut all = Vec::new();
        for wakers in &mut self.lock().wakers {
            all.extend(wakers.reader.take().into_iter().chain(wakers.writer.take()));
        }
        all.into_iter().for_each(Waker::wake);
    }

    /// Ends the peer from outside the driver.
    pub(crate) fn disconnect(&self, reason: DisconnectReason, error: Option<String>) {
        let mut state = self.lock();
        state.session.disconnect(reason, error);
        self.ended(state);
    }

    /// Ends the peer because the node stops.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopping |= state.session.end().is_none();
        state.session.disconnect(DisconnectReason::Quitting, None);
        self.ended(state);
    }

    fn ended(&self, mut state: MutexGuard<'_, State>) {
        let driver = state.driver.take();
        drop(state);
        wake(driver);
        self.wake_all();
    }

    pub(crate) fn poll_receive(&self, protocol: usize, cx: &Context<'_>) -> Poll<Option<Message>> {
        let mut state = self.lock();
        let paused = !state.session.wants_message();
        match state.session.receive(clock(), protocol) {
            Some(message) => {
                let resumed = paused && state.session.wants_message();
                let driver = if resumed { state.driver.take() } else { None };
                drop(state);
                wake(driver);
                Poll::Ready(Some(message))
            }
            None if state.session.end().is_some() => Poll::Ready(None),
            None => {
                if let Some(wakers) = state.wakers.get_mut(protocol) {
                    register(&mut wakers.reader, cx);
                }
                Poll::Pending
            }
        }
    }

    /// The subprotocol's stream is gone.
    pub(crate) fn discard(&self, protocol: usize) {
        let driver = {
            let mut state = self.lock();
            state.session.discard(clock(), protocol);
            state.driver.take()
        };
        wake(driver);
    }

    pub(crate) fn poll_send(
        &self,
        protocol: usize,
        cx: &Context<'_>,
        until: SendStage,
    ) -> Poll<Result<(), SendError>> {
        let mut state = self.lock();
        let reached = match until {
            SendStage::Room => state.session.can_send(protocol),
            SendStage::Sent => state.session.is_sent(protocol),
        };
        // First: what was sent before the end was sent.
        if reached {
            return Poll::Ready(Ok(()));
        }
        if state.session.end().is_some() {
            return Poll::Ready(Err(SendError::Closed));
        }
        if let Some(wakers) = state.wakers.get_mut(protocol) {
            register(&mut wakers.writer, cx);
        }
        Poll::Pending
    }

    pub(crate) fn send(&self, protocol: usize, message: Message) -> Result<(), SendError> {
        let mut state = self.lock();
        state.session.send(protocol, message)?;
        let driver = state.driver.take();
        drop(state);
        wake(driver);
        Ok(())
    }
}

/// What a sender waits for.
#[derive(Clone, Copy)]
pub(crate) enum SendStage {
    /// There is room for a message.
    Room,
    /// All messages went to the connection.
    Sent,
}

fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
