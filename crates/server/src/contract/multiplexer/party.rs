use std::sync::{Arc, atomic::AtomicUsize};

use devp2p_core::{BoxConnection, PublicKey};
use devp2p_peer::{Direction, End, Hello, HelloError, pipe};
use futures::future::{BoxFuture, try_join};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Make,
    application::{Application, LINES, Line},
    spy::{Spied, Spy},
};
use crate::{
    Multiplexer, Negotiated, PeerControl,
    contract::{
        Seen,
        connection::{left, right},
        seen,
    },
};

/// One side of a connection.
pub(super) struct Party {
    pub(super) multiplexer: Arc<dyn Multiplexer>,
    pub(super) connection: BoxConnection,
    pub(super) direction: Direction,
    pub(super) spy: Arc<Spy>,
    pub(super) lines: mpsc::Receiver<Line>,
    pub(super) running: Arc<AtomicUsize>,
}

/// A side that knows the other's Hello.
pub(super) struct Greeted {
    pub(super) negotiated: Box<dyn Negotiated>,
    pub(super) spy: Arc<Spy>,
    pub(super) lines: mpsc::Receiver<Line>,
    pub(super) running: Arc<AtomicUsize>,
}

/// A side whose application runs.
pub(super) struct Running {
    pub(super) control: Arc<dyn PeerControl>,
    pub(super) life: AbortOnDropHandle<End>,
    pub(super) line: Line,
    pub(super) spy: Arc<Spy>,
    pub(super) running: Arc<AtomicUsize>,
}

impl Party {
    pub(super) fn new(
        make: &impl Make,
        name: &str,
        key: PublicKey,
        connection: BoxConnection,
        direction: Direction,
    ) -> Self {
        let (sender, lines) = mpsc::channel(LINES);
        let running = Arc::new(AtomicUsize::new(0));
        let application = Application { lines: sender, running: Arc::clone(&running) };
        let hello = Hello::new(name, vec![Application::capability()], key);
        let spy = Arc::new(Spy::default());
        Self {
            multiplexer: make(hello, application),
            connection: Box::pin(Spied { connection, spy: Arc::clone(&spy) }),
            direction,
            spy,
            lines,
            running,
        }
    }

    pub(super) async fn hello(self) -> Result<Greeted, HelloError> {
        let Self { multiplexer, connection, direction, spy, lines, running } = self;
        let negotiated = multiplexer.hello(connection, direction).await?;
        Ok(Greeted { negotiated, spy, lines, running })
    }
}

impl Greeted {
    pub(super) async fn run(mut self) -> Result<Running, Seen> {
        let (control, life) = self.negotiated.run();
        let life = spawn(life);
        let Some(line) = self.lines.recv().await else { return seen("no subprotocol") };
        Ok(Running { control, life, line, spy: self.spy, running: self.running })
    }
}

/// Runs it as the server does, in a task; dropping the handle drops the future.
pub(super) fn spawn(life: BoxFuture<'static, End>) -> AbortOnDropHandle<End> {
    AbortOnDropHandle::new(tokio::spawn(life))
}

/// Two sides, left having dialed right.
pub(super) fn parties(make: &impl Make) -> Result<(Party, Party), Seen> {
    parties_with(make, right()?.public_key())
}

/// Two sides, of which the right one says that it has this key.
pub(super) fn parties_with(make: &impl Make, said: PublicKey) -> Result<(Party, Party), Seen> {
    let (left, right) = (left()?.public_key(), right()?.public_key());
    let (at_left, at_right) = pipe(left, right);
    Ok((
        Party::new(make, "left", left, at_left, Direction::Outbound),
        Party::new(make, "right", said, at_right, Direction::Inbound),
    ))
}

pub(super) async fn greeted(make: &impl Make) -> Result<(Greeted, Greeted), Seen> {
    let (left, right) = parties(make)?;
    Ok(try_join(left.hello(), right.hello()).await?)
}

pub(super) async fn running(make: &impl Make) -> Result<(Running, Running), Seen> {
    let (left, right) = greeted(make).await?;
    try_join(left.run(), right.run()).await
}
