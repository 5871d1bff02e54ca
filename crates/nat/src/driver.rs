//! The machine, with a gateway and tokio's clock.

use std::{
    collections::VecDeque,
    fmt,
    future::pending,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures_core::{Stream, future::BoxFuture};
use tokio::time::{Sleep, sleep_until, timeout};
use tracing::{debug, info};

use crate::{
    Config, Event, Mapper, Nat, Output, Reply, Request, RequestId, Socket,
    gateway::{AnyGateway, Gateway, GatewayError, Pcp, Pmp, Search, Stun, Upnp},
};

/// Keeps the sockets of a node mapped: a stream of [`Event`]s, which does its work where it is
/// polled.
///
/// It ends after [`stop`](Self::stop), once the mappings are taken back or the time for that is
/// over, and not before. Must be polled on a tokio runtime with IO and time.
///
/// # Cancel safety
/// Dropping it leaves the mappings behind, until their leases are over.
#[must_use = "a driver does nothing unless it is polled"]
pub struct Driver {
    /// What is known without asking anybody.
    told: VecDeque<Event>,
    /// None where there is nothing to ask.
    asking: Option<Asking>,
    is_stopped: bool,
}

struct Asking {
    mapper: Mapper,
    search: Arc<dyn Search>,
    gateway: Option<Arc<dyn Gateway>>,
    running: Option<(RequestId, BoxFuture<'static, Answer>)>,
    request_timeout: Duration,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    failure: Option<String>,
}

/// What came of a request.
enum Answer {
    /// What was asked for.
    Reply(Reply),
    /// A gateway.
    Found(Arc<dyn Gateway>),
    /// Nothing, and why.
    Failed(String),
}

impl Driver {
    /// Gets these sockets through this NAT.
    pub fn new(nat: &Nat, sockets: &[Socket], config: Config) -> Self {
        let search: Arc<dyn Search> = match nat {
            Nat::None => return Self::silent(None),
            Nat::ExtIp(ip) => return Self::silent(Some(*ip)),
            Nat::Stun(server) => {
                let mapper = Mapper::address_only(config.clone(), sockets, now());
                return Self::drive(mapper, Arc::new(Stun::new(server.clone())), &config);
            }
            Nat::Any => Arc::new(AnyGateway),
            Nat::Pcp(gateway) => Arc::new(Pcp::new(*gateway)),
            Nat::Pmp(gateway) => Arc::new(Pmp::new(*gateway)),
            Nat::Upnp => Arc::new(Upnp::new()),
        };
        Self::drive(Mapper::new(config.clone(), sockets, now()), search, &config)
    }

    /// Maps these sockets at the gateway that `search` finds.
    pub fn with_search(search: impl Search, sockets: &[Socket], config: Config) -> Self {
        let mapper = Mapper::new(config.clone(), sockets, now());
        Self::drive(mapper, Arc::new(search), &config)
    }

    fn silent(address: Option<IpAddr>) -> Self {
        let told = address.map(|ip| Event::Address(Some(ip))).into_iter().collect();
        Self { told, asking: None, is_stopped: false }
    }

    fn drive(mapper: Mapper, search: Arc<dyn Search>, config: &Config) -> Self {
        let request_timeout = config.request_timeout;
        let asking = Asking {
            mapper,
            search,
            gateway: None,
            running: None,
            request_timeout,
            timer: None,
            failure: None,
        };
        Self { told: VecDeque::new(), asking: Some(asking), is_stopped: false }
    }

    /// What the gateway is that was found last, for people.
    pub fn gateway(&self) -> Option<String> {
        Some(self.asking.as_ref()?.gateway.as_ref()?.name())
    }

    /// Why the last search or request failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.asking.as_ref()?.failure.as_deref()
    }

    /// Takes the mappings back. The stream tells of it, and ends.
    pub fn stop(&mut self) {
        self.is_stopped = true;
        if let Some(asking) = &mut self.asking {
            // What is under way may take longer than the stop may.
            asking.running = None;
            asking.mapper.stop(now());
        }
    }
}

impl Stream for Driver {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        if let Some(event) = this.told.pop_front() {
            return Poll::Ready(Some(event));
        }
        match &mut this.asking {
            Some(asking) => asking.poll_event(cx),
            None if this.is_stopped => Poll::Ready(None),
            // Who stops it has it, and polls it then.
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("is_stopped", &self.is_stopped).finish_non_exhaustive()
    }
}

impl Asking {
    /// Its order: what the machine wants, the reply to it, the timer.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            match self.mapper.poll_output() {
                Some(Output::Event(event)) => return Poll::Ready(Some(event)),
                Some(Output::Request(id, request)) => {
                    self.running = Some((id, self.begin(request)));
                    continue;
                }
                None => {}
            }
            if self.mapper.is_finished() {
                self.running = None;
                return Poll::Ready(None);
            }
            if let Some((id, answer)) = &mut self.running
                && let Poll::Ready(answer) = answer.as_mut().poll(cx)
            {
                let id = *id;
                self.running = None;
                self.failure = None;
                let reply = match answer {
                    Answer::Reply(reply) => reply,
                    Answer::Found(gateway) => {
                        self.gateway = Some(gateway);
                        Reply::Found
                    }
                    Answer::Failed(why) => {
                        self.failure = Some(why);
                        Reply::Failed
                    }
                };
                self.mapper.handle_reply(now(), id, reply);
                continue;
            }
            ready!(self.poll_timer(cx));
            self.mapper.handle_timeout(now());
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.mapper.poll_timeout() else { return Poll::Pending };
        if self.timer.as_ref().is_none_or(|(set, _)| *set != at) {
            self.timer = Some((at, Box::pin(sleep_until(at.into()))));
        }
        let Some((_, timer)) = &mut self.timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        self.timer = None;
        Poll::Ready(())
    }

    fn begin(&self, request: Request) -> BoxFuture<'static, Answer> {
        let asked = match (request, &self.gateway) {
            (Request::Search, _) => search(self.search.search()),
            (request, Some(gateway)) => ask(request, gateway),
            // It was found before anything is asked of it.
            (_, None) => Box::pin(pending()),
        };
        let limit = self.request_timeout;
        Box::pin(async move {
            match timeout(limit, asked).await {
                Ok(answer) => answer,
                Err(_) => {
                    debug!(?request, "No answer of the gateway in time");
                    Answer::Failed(GatewayError::Timeout.to_string())
                }
            }
        })
    }
}

fn search(
    searching: BoxFuture<'static, Result<Arc<dyn Gateway>, GatewayError>>,
) -> BoxFuture<'static, Answer> {
    Box::pin(async {
        match searching.await {
            Ok(gateway) => {
                info!(gateway = gateway.name(), "Found a gateway");
                Answer::Found(gateway)
            }
            Err(error) => {
                debug!(err = %error, "No gateway");
                Answer::Failed(error.to_string())
            }
        }
    })
}

fn ask(request: Request, gateway: &Arc<dyn Gateway>) -> BoxFuture<'static, Answer> {
    let reply: BoxFuture<'static, Result<Reply, GatewayError>> = match request {
        Request::Address => {
            let asked = gateway.address();
            Box::pin(async { Ok(Reply::Address(asked.await?)) })
        }
        Request::Map { socket, external_port, lease } => {
            let asked = gateway.map(socket, external_port, lease);
            Box::pin(async {
                let given = asked.await?;
                let (external_port, lease, address) =
                    (given.external_port, given.lease, given.address);
                Ok(Reply::Mapped { external_port, lease, address })
            })
        }
        Request::Unmap { socket, external_port } => {
            let asked = gateway.unmap(socket, external_port);
            Box::pin(async { asked.await.map(|()| Reply::Unmapped) })
        }
        // Not asked of a gateway.
        Request::Search => Box::pin(async { Err(GatewayError::Unsupported) }),
    };
    let gateway = Arc::clone(gateway);
    Box::pin(async move {
        match reply.await {
            Ok(reply) => Answer::Reply(reply),
            Err(error) => {
                debug!(gateway = gateway.name(), ?request, err = %error, "The gateway did not do it");
                Answer::Failed(error.to_string())
            }
        }
    })
}

/// tokio's clock, so that it all runs on paused time.
#[expect(clippy::disallowed_methods, reason = "a driver reads the clock; here and nowhere else")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
