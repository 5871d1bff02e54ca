//! RPC over HTTP, and the way from there to a WebSocket.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::debug;

use super::{
    MAX_CONNECTIONS, MAX_REQUEST, Site,
    calls::Calls,
    guard::{Guard, Refusal},
    ws::{self, Handshake},
};

/// How long a client may take for the head of a request, for its body, and for taking the last
/// answer; geth's time.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a connection is used for one request after the other; then the client may open another.
const MAX_AGE: Duration = Duration::from_secs(120);

/// How much of the head of a request is read, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// The pause after accept failed, as descriptors may have run out.
const PAUSE: Duration = Duration::from_secs(1);

/// What is answered at one TCP address.
#[derive(Debug)]
pub(super) struct Web {
    pub(super) http: Option<Door>,
    pub(super) ws: Option<Door>,
}

/// What can be called in one way, and by whom.
#[derive(Debug)]
pub(super) struct Door {
    calls: Calls,
    guard: Guard,
}

impl Door {
    pub(super) fn new(site: &Site, calls: Calls) -> Self {
        Self { calls, guard: Guard::new(&site.hosts, &site.origins) }
    }
}

/// Answers calls for ever. Dropping it closes all connections.
pub(super) async fn serve(listener: TcpListener, web: Web) {
    let web = Arc::new(web);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, addr)) => {
                let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                    refuse(&stream, addr);
                    continue;
                };
                let web = Arc::clone(&web);
                connections.spawn(async move {
                    if let Err(error) = serve_connection(stream, web).await {
                        debug!(%addr, err = %error, "A connection to RPC failed");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                debug!(err = %error, "Cannot accept a connection to RPC");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Says that there are too many connections, if that can be said at once.
fn refuse(stream: &TcpStream, addr: SocketAddr) {
    debug!(%addr, "A connection to RPC is one too many");
    let answer =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    // A new connection has room for it.
    let _ = stream.try_write(answer.as_bytes());
}

/// Where a request leaves the handshake that it asked for.
type Upgrade = Arc<Mutex<Option<(Handshake, Calls)>>>;

async fn serve_connection(stream: TcpStream, web: Arc<Web>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let upgrade = Upgrade::default();
    let service = service_fn(|request| {
        let (web, upgrade) = (Arc::clone(&web), Arc::clone(&upgrade));
        async move { Ok::<_, Infallible>(web.answer(request, &upgrade).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(MAX_HEAD);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        biased;
        served = &mut connection => served,
        () = sleep(MAX_AGE) => {
            connection.as_mut().graceful_shutdown();
            match timeout(PATIENCE, connection).await {
                Ok(served) => served,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    };
    served.map_err(io::Error::other)?;
    let upgraded = upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((handshake, calls)) = upgraded {
        ws::serve(handshake, calls).await?;
    }
    Ok(())
}

type Answer = Response<Full<Bytes>>;

impl Web {
    async fn answer(&self, request: Request<Incoming>, upgrade: &Upgrade) -> Answer {
        match &self.ws {
            Some(door) if ws::is_handshake(&request) => door.shake_hands(request, upgrade),
            _ => match &self.http {
                Some(door) => door.answer(request).await,
                None => text(StatusCode::UPGRADE_REQUIRED, "this is for WebSocket alone"),
            },
        }
    }
}

impl Door {
    fn shake_hands(&self, mut request: Request<Incoming>, upgrade: &Upgrade) -> Answer {
        if let Err(refusal) = self.guard.check(request.uri(), request.headers()) {
            return refused(refusal);
        }
        match Handshake::new(&mut request) {
            Ok((handshake, response)) => {
                let mut upgrade = upgrade.lock().unwrap_or_else(PoisonError::into_inner);
                *upgrade = Some((handshake, self.calls.clone()));
                response.map(|()| Full::default())
            }
            Err(why) => text(StatusCode::BAD_REQUEST, &why),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let origin = match self.guard.check(request.uri(), request.headers()) {
            Ok(origin) => origin.map(str::to_owned),
            Err(refusal) => return refused(refusal),
        };
        let mut answer = match *request.method() {
            Method::POST => match timeout(PATIENCE, self.call(request)).await {
                Ok(answer) => answer,
                Err(_) => text(StatusCode::REQUEST_TIMEOUT, "the request took too long"),
            },
            Method::OPTIONS if origin.is_some() => preflight(),
            // What asks whether anybody is there, as in geth.
            Method::GET if request.uri().query().is_none() && request.body().is_end_stream() => {
                Response::default()
            }
            _ => text(StatusCode::METHOD_NOT_ALLOWED, "wants POST"),
        };
        if let Some(Ok(origin)) = origin.map(HeaderValue::try_from) {
            let headers = answer.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        answer
    }

    async fn call(&self, request: Request<Incoming>) -> Answer {
        // A page of any site may send other types without a preflight.
        if !is_json(request.headers()) {
            let why = "wants Content-Type: application/json";
            return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, why);
        }
        let too_large = || text(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large");
        let body = request.into_body();
        if body.size_hint().lower() > MAX_REQUEST as u64 {
            return too_large();
        }
        let body = match Limited::new(body, MAX_REQUEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return too_large(),
            Err(_) => return text(StatusCode::BAD_REQUEST, "the request is cut off"),
        };
        let answer = self.calls.answer(&body, None).await;
        let answer =
            answer.map_or_else(Bytes::new, |answer| String::from(Box::<str>::from(answer)).into());
        with_type(StatusCode::OK, "application/json", answer)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    ["application/json", "application/json-rpc", "application/jsonrequest"]
        .iter()
        .any(|json| kind.eq_ignore_ascii_case(json))
}

/// Tells a browser what a page may send.
fn preflight() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, GET"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn refused(refusal: Refusal) -> Answer {
    let why = match refusal {
        Refusal::Host => "invalid host specified",
        Refusal::Origin => "origin not allowed",
    };
    text(StatusCode::FORBIDDEN, why)
}

fn text(status: StatusCode, why: &str) -> Answer {
    with_type(status, "text/plain; charset=utf-8", format!("{why}\n").into())
}

fn with_type(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
