use std::{sync::Arc, time::Duration};

use devp2p_core::{BoxConnection, Traffic};
use devp2p_peer::{
    Capability, Direction, DisconnectReason, End, Hello, HelloError, Peer, Protocol, ProtocolError,
    ProtocolStream, Subprotocol,
};
use devp2p_server::{
    BaseProtocol, Multiplexer, Negotiated, PeerControl,
    contract::multiplexer::{self, Application},
};
use futures::{
    SinkExt as _, StreamExt as _,
    channel::mpsc::channel,
    future::{BoxFuture, join, pending},
};
use tokio_util::task::AbortOnDropHandle;

use super::connection::{Flaw as ConnectionFlaw, Flawed};
use crate::support::foreign::text_mux::{TextMux, TextStream};

fn base_protocol(hello: Hello, application: impl Subprotocol) -> BaseProtocol {
    let protocols = vec![Protocol::new(application)];
    BaseProtocol::new(hello, protocols, devp2p_peer::Config::default(), None)
}

#[tokio::test(start_paused = true)]
async fn the_base_protocol() {
    let report =
        multiplexer::check(|hello, application| Arc::new(base_protocol(hello, application)));
    report.await.assert_kept();
}

#[tokio::test(start_paused = true)]
async fn foreign() {
    let report = multiplexer::check(|hello, application| {
        Arc::new(TextMux::new(hello.name, Application::capability(), move |_, stream| {
            let application = application.clone();
            Box::pin(async move { application.talk(stream).await })
        }))
    });
    report.await.assert_kept();
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Starts subprotocols before it is asked to.
    Eager,
    /// Closes where it should say why.
    Mute,
    /// Never tells the connection that it is established.
    Unestablished,
    /// Lives on when it is dropped.
    Undead,
    /// Has subprotocols that outlive it.
    Detached,
    /// Holds whatever comes for a subprotocol that does not read.
    Boundless,
    /// Drops one of fifty messages on the way to a subprotocol.
    Lossy,
    /// Disconnects for another reason than it was told.
    Evasive,
    /// Tells what the remote does not have.
    Boastful,
}

#[tokio::test(start_paused = true)]
async fn broken_ones_are_found_out() {
    for (flaw, expected) in [
        (Flaw::Eager, &["nothing runs before the first poll"][..]),
        (Flaw::Mute, &["refuse before the Hello", "refuse after the Hello"]),
        (
            Flaw::Unestablished,
            &[
                "established",
                "order and completeness",
                "large messages",
                "back-pressure",
                "a closed connection",
            ],
        ),
        (Flaw::Undead, &["a closed connection", "a dropped peer closes"]),
        (Flaw::Detached, &["subprotocols end first", "a dropped peer closes"]),
        (Flaw::Boundless, &["back-pressure", "error after close", "a closed connection"]),
        (
            Flaw::Lossy,
            &["order and completeness", "back-pressure", "cancellation", "error after close"],
        ),
        (Flaw::Evasive, &["disconnect"]),
        (Flaw::Boastful, &["hellos"]),
    ] {
        let report = multiplexer::check(|hello, application| {
            let inner = base_protocol(hello, Relay { application, flaw });
            Arc::new(Broken { inner, flaw })
        });
        let report = report.await;
        assert_eq!(report.violated(), expected, "{flaw:?}: {report}");
    }
}

struct Broken {
    inner: BaseProtocol,
    flaw: Flaw,
}

impl Multiplexer for Broken {
    fn hello(
        &self,
        connection: BoxConnection,
        direction: Direction,
    ) -> BoxFuture<'static, Result<Box<dyn Negotiated>, HelloError>> {
        let flaw = self.flaw;
        let connection: BoxConnection = match flaw {
            Flaw::Unestablished => Flawed::boxed(connection, ConnectionFlaw::Limited),
            _ => connection,
        };
        let hello = self.inner.hello(connection, direction);
        Box::pin(async move {
            Ok(Box::new(BrokenNegotiated { inner: hello.await?, flaw }) as Box<dyn Negotiated>)
        })
    }

    fn refuse(
        &self,
        connection: BoxConnection,
        reason: DisconnectReason,
    ) -> BoxFuture<'static, ()> {
        match self.flaw {
            Flaw::Mute => Box::pin(async move { drop(connection) }),
            _ => self.inner.refuse(connection, reason),
        }
    }
}

struct BrokenNegotiated {
    inner: Box<dyn Negotiated>,
    flaw: Flaw,
}

impl Negotiated for BrokenNegotiated {
    fn hello(&self) -> &Hello {
        self.inner.hello()
    }

    fn shared(&self) -> Vec<Capability> {
        let mut shared = self.inner.shared();
        if self.flaw == Flaw::Boastful {
            shared.push(Capability::new("eth", 68));
        }
        shared
    }

    fn refuse(self: Box<Self>, reason: DisconnectReason) -> BoxFuture<'static, ()> {
        match self.flaw {
            Flaw::Mute => Box::pin(async move { drop(self) }),
            _ => self.inner.refuse(reason),
        }
    }

    fn run(self: Box<Self>) -> (Arc<dyn PeerControl>, BoxFuture<'static, End>) {
        let (control, life) = self.inner.run();
        match self.flaw {
            Flaw::Eager => {
                let life = AbortOnDropHandle::new(tokio::spawn(life));
                (control, Box::pin(async move { life.await.unwrap() }))
            }
            Flaw::Undead => (control, Box::pin(async move { tokio::spawn(life).await.unwrap() })),
            Flaw::Evasive => (Arc::new(Evasive(control)), life),
            _ => (control, life),
        }
    }
}

struct Evasive(Arc<dyn PeerControl>);

impl PeerControl for Evasive {
    fn disconnect(&self, _: DisconnectReason) {
        self.0.disconnect(DisconnectReason::Requested);
    }

    fn rtt(&self) -> Option<Duration> {
        self.0.rtt()
    }

    fn traffic(&self) -> Traffic {
        self.0.traffic()
    }
}

/// Stands between the multiplexer and the application.
struct Relay {
    application: Application,
    flaw: Flaw,
}

impl Subprotocol for Relay {
    fn capability(&self) -> Capability {
        Application::capability()
    }

    fn length(&self) -> u64 {
        Application::LENGTH
    }

    async fn run(&self, peer: Peer, stream: ProtocolStream) -> Result<(), ProtocolError> {
        let application = self.application.clone();
        let (queue, lost) = match self.flaw {
            Flaw::Boundless => (100_000, 0),
            Flaw::Lossy => (4, 50),
            Flaw::Detached => {
                let run = async move { application.run(peer, stream).await };
                return tokio::spawn(run).await.unwrap();
            }
            _ => return application.run(peer, stream).await,
        };
        let (mut to_application, incoming) = channel(queue);
        let (outgoing, from_application) = channel(1);
        let (sink, mut stream) = stream.split();
        let read = async move {
            let mut count = 0_usize;
            while let Some(message) = stream.next().await {
                count += 1;
                if lost > 0 && count.is_multiple_of(lost) {
                    continue;
                }
                // An error says that nobody listens any more.
                let _ = to_application.send(message).await;
            }
        };
        // Flushing does not reach through: what is on its way at the end is lost too.
        let write = from_application.map(Ok).forward(sink);
        let relay = async {
            let _ = join(read, write).await;
            pending().await
        };
        tokio::select! {
            result = application.talk(TextStream { incoming, outgoing }) => result,
            result = relay => result,
        }
    }
}
