//! Runs a [`Session`] on a connection, with its subprotocols as tasks.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use devp2p_core::{BoxConnection, ConnectionError, Message, Rng};
use tokio::time::{Sleep, sleep_until};
use tracing::trace;

use crate::{
    Config, Direction, DisconnectReason, End, Established, Event, MessageDirection, MessageEvent,
    Observer, Peer, Protocol, Received, Session, SharedCapability, Side,
    link::{Facts, Link},
    protocol::offers,
    send_disconnect::send_disconnect,
    share_capabilities,
    tasks::Tasks,
};

/// How many messages are sent, and how many read, before other tasks have their turn: a connection
/// that is always ready must not keep a thread to itself. Each has its own share, so that neither
/// direction uses up the other's.
const BATCH_MESSAGES: usize = 32;

/// After how many bytes of payload a batch is over as well. Decrypting and decompressing them takes
/// about as long as 32 small messages and all that hangs on these; one message more may go beyond,
/// as no message is cut.
const BATCH_BYTES: usize = 256 * 1024;

/// What is left of a batch.
struct Batch {
    messages: usize,
    bytes: usize,
}

impl Batch {
    const fn new() -> Self {
        Self { messages: BATCH_MESSAGES, bytes: BATCH_BYTES }
    }

    const fn is_over(&self) -> bool {
        self.messages == 0 || self.bytes == 0
    }

    const fn spend(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Established {
    /// The capabilities that the remote shares with these subprotocols, in the order of their
    /// message ids.
    pub fn shared(&self, protocols: &[Protocol]) -> Vec<SharedCapability> {
        share_capabilities(&offers(protocols), &self.hello.capabilities)
    }

    /// Runs the subprotocols that the remote shares.
    ///
    /// Nothing happens before the future is polled, which must be on a tokio runtime. It owns the
    /// tasks of the subprotocols: when it is done they have ended, and the connection is closed.
    /// It ends with the connection, with the first subprotocol that returns, or by
    /// [`Peer::disconnect`] or [`Peer::stop`]. What it logs belongs to the span in which it is first polled, and so
    /// do the subprotocols.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time: that closes the connection without a word and aborts
    /// the tasks.
    pub fn run(
        self,
        protocols: &[Protocol],
        direction: Direction,
        observer: Option<Arc<dyn Observer>>,
    ) -> (Peer, Pin<Box<dyn Future<Output = End> + Send>>) {
        let shared = self.shared(protocols);
        let find = |shared: &SharedCapability| {
            protocols.iter().find(|protocol| protocol.capability() == shared.capability).cloned()
        };
        let running = shared.iter().map(find).enumerate();
        let running = running.filter_map(|(index, found)| Some((index, found?))).collect();
        let session = Session::new(&self.config, shared, seed(&self.config), clock());
        let facts = Facts {
            direction,
            local_addr: self.connection.local_addr(),
            remote_addr: self.connection.remote_addr(),
            hello: self.hello,
        };
        let link = Arc::new(Link::new(facts, session));
        let peer = Peer(Arc::clone(&link));
        let guard = CloseOnDrop(link);
        (peer, Box::pin(drive(self.connection, guard, running, self.config, observer)))
    }
}

/// The time, of tokio's clock, so that whole peers run on a paused one.
pub(crate) fn clock() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the clock that this driver gives its machine")]
    tokio::time::Instant::now().into_std()
}

fn seed(config: &Config) -> [u8; 32] {
    // It only spreads Pings over time, so a machine without entropy can do without.
    config.seed.unwrap_or_else(|| Rng::from_os().map_or([0; 32], |mut rng| rng.seed()))
}

/// Shows the end of a future that was dropped to the handles and streams that others hold.
struct CloseOnDrop(Arc<Link>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        // After a regular end this changes nothing.
        self.0.disconnect(DisconnectReason::Requested, Some("the peer was dropped".into()));
    }
}

async fn drive(
    connection: BoxConnection,
    guard: CloseOnDrop,
    protocols: Vec<(usize, Protocol)>,
    config: Config,
    observer: Option<Arc<dyn Observer>>,
) -> End {
    let mut driver = Driver {
        connection,
        link: Arc::clone(&guard.0),
        tasks: Tasks::spawn(&guard.0, &protocols),
        timer: Box::pin(sleep_until(clock().into())),
        armed: None,
        observer,
        ingress: 0,
        readable: true,
        writable: true,
        end: None,
    };
    let end = poll_fn(|cx| driver.poll(cx)).await;
    trace!(reason = %end.reason, side = ?end.side, error = end.error.as_deref(), "Peer is going");
    driver.close(&end, &config).await;
    end
}

/// A running peer, until its end is decided.
struct Driver {
    connection: BoxConnection,
    link: Arc<Link>,
    tasks: Tasks,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires, once it is set.
    armed: Option<Instant>,
    observer: Option<Arc<dyn Observer>>,
    /// The connection's ingress when the timer last fired.
    ingress: u64,
    /// The connection has not ended.
    readable: bool,
    /// The connection has not refused a message.
    writable: bool,
    end: Option<End>,
}

impl Driver {
    /// Ready once the peer has ended. In this order, again and again until nothing moves: what
    /// subprotocols returned, the timer, writing, reading. Our own work comes before the remote's,
    /// and reading does not wait for writing.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.link.register_driver(cx);
        let (mut to_write, mut to_read) = (Batch::new(), Batch::new());
        loop {
            self.poll_tasks(cx);
            self.poll_timer(cx);
            let wrote = self.poll_write(cx, &mut to_write);
            let read = self.poll_read(cx, &mut to_read);
            self.drain_events();
            if let Some(end) = self.end.take() {
                self.link.wake_all();
                return Poll::Ready(end);
            }
            if to_write.is_over() || to_read.is_over() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !wrote && !read {
                return Poll::Pending;
            }
        }
    }

    fn poll_tasks(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some((reason, error))) = self.tasks.poll_ended(cx) {
            self.link.lock().session.disconnect(reason, error);
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) {
        loop {
            let Some(deadline) = self.link.lock().session.poll_timeout() else { return };
            // A deadline that only moved away is looked at when the timer fires.
            if self.armed.is_none_or(|armed| deadline < armed) {
                self.armed = Some(deadline);
                self.timer.as_mut().reset(deadline.into());
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return;
            }
            self.armed = None;
            let now = clock();
            let ingress = self.connection.traffic().ingress;
            let progress = std::mem::replace(&mut self.ingress, ingress) != ingress;
            let mut state = self.link.lock();
            if progress {
                state.session.handle_progress(now);
            }
            state.session.handle_timeout(now);
        }
    }

    /// Returns whether something was sent.
    fn poll_write(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> bool {
        let mut wrote = false;
        while self.writable && !batch.is_over() {
            match self.connection.as_mut().poll_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => self.write_failed(&error),
                Poll::Ready(Ok(())) => {
                    let Some(size) = self.send_next() else { break };
                    wrote = true;
                    batch.spend(size);
                }
            }
        }
        if self.writable
            && let Poll::Ready(Err(error)) = self.connection.as_mut().poll_flush(cx)
        {
            self.write_failed(&error);
        }
        self.link.lock().traffic = self.connection.traffic();
        wrote
    }

    /// Sends the session's next message, and returns the size of its payload.
    fn send_next(&mut self) -> Option<usize> {
        let transmit = {
            let mut state = self.link.lock();
            // Our Disconnect is left to `close`, which has deadlines.
            if state.session.end().is_some() {
                return None;
            }
            state.session.poll_transmit(clock())?
        };
        let (id, size) = (transmit.message.id, transmit.message.payload.len());
        if let Err(error) = self.connection.as_mut().start_send(transmit.message) {
            self.write_failed(&error);
        } else if let Some(protocol) = transmit.protocol {
            self.link.wake_writer(protocol);
            let relative = self.link.shared.get(protocol).and_then(|shared| shared.relative(id));
            self.observe(MessageDirection::Sent, protocol, relative.unwrap_or(id), size);
        }
        Some(size)
    }

    fn write_failed(&mut self, error: &ConnectionError) {
        self.writable = false;
        self.link.lock().session.handle_write_failed(clock(), error);
    }

    /// Returns whether something was read.
    fn poll_read(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> bool {
        let mut read = false;
        while self.readable && !batch.is_over() && self.link.lock().session.wants_message() {
            match self.connection.as_mut().poll_next(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(message))) => {
                    batch.spend(message.payload.len());
                    self.receive(message);
                }
                Poll::Ready(Some(Err(error))) => self.read_ended(Some(&error)),
                Poll::Ready(None) => self.read_ended(None),
            }
            read = true;
        }
        read
    }

    fn receive(&mut self, message: Message) {
        self.link.lock().session.handle_message(clock(), message);
        self.drain_events();
    }

    fn read_ended(&mut self, error: Option<&ConnectionError>) {
        self.readable = false;
        self.link.lock().session.handle_closed(error);
    }

    fn drain_events(&mut self) {
        loop {
            let event = self.link.lock().session.poll_event();
            match event {
                None => return,
                Some(Event::Ended(end)) => self.end = Some(end),
                Some(Event::Received(Received { protocol, id, size })) => {
                    self.link.wake_reader(protocol);
                    self.observe(MessageDirection::Received, protocol, id, size);
                }
            }
        }
    }

    fn observe(&mut self, direction: MessageDirection, protocol: usize, id: u64, size: usize) {
        let (Some(observer), Some(shared)) = (&self.observer, self.link.shared.get(protocol))
        else {
            return;
        };
        let event = MessageEvent { direction, capability: &shared.capability, id, size };
        // A panic in foreign code costs this peer, as one in a subprotocol does, and no more: it
        // is not asked again, so what it left behind does no harm.
        if catch_unwind(AssertUnwindSafe(|| observer.message(&event))).is_err() {
            self.observer = None;
            let error = Some("the observer panicked".into());
            self.link.lock().session.disconnect(DisconnectReason::Subprotocol, error);
        }
    }

    /// Sends our Disconnect where the remote sent none, and gives the tasks their time, both at
    /// once.
    async fn close(self, end: &End, config: &Config) {
        let Self { mut connection, link, tasks, readable, .. } = self;
        let (mut write, mut linger) = (config.disconnect_write, config.linger);
        if link.lock().stopping {
            (write, linger) = (write.min(config.stop_linger), linger.min(config.stop_linger));
        }
        let mut disconnect = pin!(async move {
            if end.side == Side::Local && end.reason != DisconnectReason::NetworkError {
                send_disconnect(&mut connection, end.reason, readable, (write, linger)).await;
            }
            link.lock().traffic = connection.traffic();
        });
        let mut finish = pin!(tasks.finish(config));
        let (mut told, mut finished) = (false, false);
        poll_fn(|cx| {
            told = told || disconnect.as_mut().poll(cx).is_ready();
            finished = finished || finish.as_mut().poll(cx).is_ready();
            if told && finished { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
