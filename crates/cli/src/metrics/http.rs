//! As much of an HTTP server as Prometheus needs: one answer to a connection.

use std::{io, sync::Arc, time::Duration};

use hyper::{
    HeaderMap, Uri,
    header::{HeaderName, HeaderValue},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::debug;

use crate::rpc::guard::Guard;

/// How many requests are answered at one time; further ones wait in the backlog. One or two
/// collectors ask every few seconds.
const MAX_CONNECTIONS: usize = 8;

/// How long a client has for its request and for taking the answer, together.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest head of a request, in bytes: collectors send less than 1 KiB.
const MAX_HEAD: usize = 8 * 1024;

/// The pause after accept failed, as descriptors may have run out.
const PAUSE: Duration = Duration::from_secs(1);

/// Where metrics are: geth's path, and the one that collectors ask for unless told.
const PATHS: [&str; 2] = ["/debug/metrics/prometheus", "/metrics"];

/// Answers requests for ever with what `render` gives. Dropping it closes all connections.
pub(super) async fn serve(
    listener: TcpListener,
    render: impl Fn() -> String + Clone + Send + 'static,
) {
    // Elsewhere collectors call this machine by any of its names.
    let is_loopback = listener.local_addr().is_ok_and(|addr| addr.ip().is_loopback());
    let hosts = if is_loopback { "localhost" } else { "*" };
    let guard = Arc::new(Guard::new(&[hosts.to_owned()], &[]));
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut answers = JoinSet::new();
    // The semaphore is never closed.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        while answers.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let (render, guard) = (render.clone(), Arc::clone(&guard));
                answers.spawn(async move {
                    let _slot = slot;
                    if let Ok(Err(error)) = timeout(PATIENCE, answer(stream, &guard, render)).await
                    {
                        debug!(err = %error, "A request for metrics failed");
                    }
                });
            }
            Err(error) => {
                debug!(err = %error, "Cannot accept a request for metrics");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Reads a request and answers it.
async fn answer(
    mut stream: TcpStream,
    guard: &Guard,
    render: impl Fn() -> String,
) -> io::Result<()> {
    let head = read_head(&mut stream).await?;
    let answer = respond(head.as_deref(), guard, render);
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // What is left unread would have the answer taken back: the client closes first.
    let mut rest = [0; 512];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

/// The head of a request; `None` where it is too long.
async fn read_head(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut limited = stream.take(MAX_HEAD as u64);
    while limited.read_buf(&mut head).await? > 0 {
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(Some(head));
        }
    }
    if head.len() < MAX_HEAD { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(None) }
}

/// The whole answer to a request.
fn respond(head: Option<&[u8]>, guard: &Guard, render: impl Fn() -> String) -> String {
    let Some(head) = head else { return error("431 Request Header Fields Too Large") };
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let words: Vec<_> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = words.as_slice() else { return error("400 Bad Request") };
    if !version.starts_with(b"HTTP/1.") {
        return error("505 HTTP Version Not Supported");
    }
    if !matches!(*method, b"GET" | b"HEAD") {
        return error("405 Method Not Allowed");
    }
    // A page may have had its own name rebound to this machine.
    if guard.check(&Uri::from_static("/"), &headers(head)).is_err() {
        return error("403 Forbidden");
    }
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    if !PATHS.iter().any(|known| known.as_bytes() == path) {
        return error("404 Not Found");
    }
    let body = render();
    let head = head_of("200 OK", "text/plain; version=0.0.4; charset=utf-8", body.len());
    if *method == b"HEAD" { head } else { head + &body }
}

/// The headers of a request, as far as they can be read.
fn headers(head: &[u8]) -> HeaderMap {
    let lines = head.split(|&byte| byte == b'\n').skip(1);
    let pairs = lines.filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let name = HeaderName::from_bytes(name).ok()?;
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        Some((name, HeaderValue::from_bytes(value).ok()?))
    });
    let mut headers = HeaderMap::new();
    // No more than fit into the head.
    for (name, value) in pairs {
        headers.append(name, value);
    }
    headers
}

fn error(status: &str) -> String {
    let body = format!("{status}\n");
    head_of(status, "text/plain; charset=utf-8", body.len()) + &body
}

fn head_of(status: &str, kind: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    )
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn only_metrics_are_there_and_only_to_be_read() {
        let guard = Guard::new(&["localhost".to_owned()], &[]);
        let status = |request: &str| {
            let answer = respond(Some(request.as_bytes()), &guard, || "p2p_peers 3\n".to_owned());
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.contains("\r\nConnection: close"), "{head}");
            (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
        };
        let found = |body: &str| ("200".to_owned(), body.to_owned());
        for path in ["/metrics", "/debug/metrics/prometheus", "/metrics?a=b"] {
            assert_eq!(status(&format!("GET {path} HTTP/1.1\r\n\r\n")), found("p2p_peers 3\n"));
            assert_eq!(status(&format!("HEAD {path} HTTP/1.0\r\n\r\n")), found(""));
        }
        for (request, code) in [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("GET /metrics/../key HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403"),
            ("GET /metrics HTTP/1.1\r\nhost:localhost\r\nOrigin: http://a.example\r\n\r\n", "403"),
            ("GET /metrics HTTP/1.1\r\nHost: localhost:6060\r\n\r\n", "200"),
            ("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:6060\r\n\r\n", "200"),
            ("GET /metrics HTTP/2\r\n\r\n", "505"),
            ("GET /metrics\r\n\r\n", "400"),
            ("\r\n\r\n", "400"),
        ] {
            assert_eq!(status(request).0, code, "{request:?}");
        }
        assert!(respond(None, &guard, String::new).starts_with("HTTP/1.1 431 "));
    }

    async fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, || "p2p_peers 3\n".repeat(100_000)));
        addr
    }

    async fn ask(addr: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn answers_are_whole_and_heads_are_bounded() {
        let addr = server().await;
        let answer = ask(addr, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(answer.ends_with(&"p2p_peers 3\n".repeat(100_000)), "{}", answer.len());
        let long = [b'a'; MAX_HEAD + 100];
        assert!(ask(addr, &long).await.starts_with("HTTP/1.1 431 "));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_does_not_keep_others_out_for_long() {
        let addr = server().await;
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            silent.push(TcpStream::connect(addr).await.unwrap());
        }
        let ask = || ask(addr, b"GET /metrics HTTP/1.1\r\n\r\n");
        assert!(timeout(PATIENCE / 2, ask()).await.is_err(), "there was a slot too many");
        let answer = timeout(PATIENCE, ask()).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}
