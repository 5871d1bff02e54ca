//! Servers that dial through a SOCKS5 proxy.
#![cfg(all(feature = "socks5", feature = "rlpx"))]
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{
    io::{Error, ErrorKind},
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use devp2p_core::{Host, Node};
use devp2p_server::{
    Builder, Dialer as _, Server, Socks5Dialer, Socks5Error, Socks5Refusal, Warning,
};
use tokio::net::TcpListener;

use self::support::{Quiet, id, key, node_at, socks5::Proxy, wait_for_peers};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn builder(n: u16) -> Builder {
    let builder = Server::builder(key(n)).protocol(Quiet("test")).listen_addr(ANY_PORT);
    builder.configure(|config| config.no_discovery = true)
}

fn through(proxy: &Proxy) -> Socks5Dialer {
    Socks5Dialer::new(Host::Ip(proxy.addr().ip()), proxy.addr().port())
}

fn named(n: u16, name: &str, port: u16) -> Node {
    Node::new(key(n).public_key(), Some(Host::Dns(name.to_owned())), port, 0)
}

#[tokio::test]
async fn nodes_are_dialed_by_address_and_by_name_and_only_the_proxy_looks_names_up() {
    let (one, two) = (builder(1).start().await.unwrap(), builder(2).start().await.unwrap());
    let addr = |n| if n == 1 { one.node_info() } else { two.node_info() }.listen_addr.unwrap();
    let proxy = Proxy::start(Some(("alice", "secret")), [("two.example", addr(2))]).await;
    let dialer = through(&proxy).with_login("alice", "secret").unwrap();
    let ours = builder(3).listen_addr(None).dialer(dialer);
    let ours = ours.static_node(node_at(&key(1), addr(1)));
    let ours = ours.static_node(named(2, "two.example", 7)).start().await.unwrap();
    wait_for_peers(&ours, 2).await;
    let mut asked = proxy.asked();
    asked.sort();
    assert_eq!(asked, [addr(1).to_string(), "two.example:7".to_owned()]);
    assert_eq!(ours.peer(id(1)).unwrap().remote_addr, Some(addr(1)), "as it was dialed");
    assert_eq!(ours.peer(id(2)).unwrap().remote_addr, None, "where that is only the proxy knows");
    let seen = one.peer(id(3)).unwrap().remote_addr.unwrap();
    assert_eq!(seen.ip(), proxy.addr().ip());
    for server in [ours, one, two] {
        server.stop().await;
    }
}

/// The error of a dial, and the kind that it shows.
async fn failure(dialer: &Socks5Dialer, node: &Node) -> (ErrorKind, Socks5Error) {
    let error: Error = dialer.dial(node).await.unwrap_err();
    (error.kind(), error.into_inner().unwrap().downcast().map(|error| *error).unwrap())
}

#[tokio::test]
async fn a_dial_tells_why_it_failed() {
    let closed = TcpListener::bind(ANY_PORT).await.unwrap();
    let nobody = closed.local_addr().unwrap();
    drop(closed);
    let (open, strict) = (Proxy::start(None, []).await, Proxy::start(Some(("a", "b")), []).await);
    let node = node_at(&key(1), nobody);

    let (kind, error) = failure(&through(&open), &node).await;
    assert_eq!(kind, ErrorKind::ConnectionRefused);
    assert!(matches!(error, Socks5Error::Refused(Socks5Refusal::ConnectionRefused)), "{error}");
    let (kind, error) = failure(&through(&open), &named(1, "nobody.example", 1)).await;
    assert_eq!(kind, ErrorKind::HostUnreachable);
    assert!(matches!(error, Socks5Error::Refused(Socks5Refusal::HostUnreachable)), "{error}");
    let (kind, error) = failure(&through(&strict), &node).await;
    assert_eq!(kind, ErrorKind::PermissionDenied);
    assert!(matches!(error, Socks5Error::Method), "{error}");
    let wrong = through(&strict).with_login("a", "c").unwrap();
    let (kind, error) = failure(&wrong, &node).await;
    assert_eq!(kind, ErrorKind::PermissionDenied);
    assert!(matches!(error, Socks5Error::Login), "{error}");
    let nowhere = Socks5Dialer::new(Host::Ip(nobody.ip()), nobody.port());
    let (kind, error) = failure(&nowhere, &node).await;
    assert_eq!(kind, ErrorKind::ConnectionRefused);
    assert!(matches!(error, Socks5Error::Unreachable(_)), "{error}");

    // One that takes the connection and says nothing.
    let silent = TcpListener::bind(ANY_PORT).await.unwrap();
    let silent_addr = silent.local_addr().unwrap();
    let dialer = Socks5Dialer::new(Host::Ip(silent_addr.ip()), silent_addr.port());
    let dialed = dialer.with_timeout(Duration::from_millis(200)).dial(&node).await;
    assert_eq!(dialed.unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(through(&open).resolve("localhost").await.is_err(), "names are the proxy's affair");
}

#[test]
fn whoever_searches_beside_a_proxy_is_warned() {
    let dialer: Socks5Dialer = "socks5://127.0.0.1:9050".parse().unwrap();
    let mut config = devp2p_server::Config::new(key(1));
    config.dialer = Some(std::sync::Arc::new(dialer));
    let searches = cfg!(any(feature = "discv4", feature = "discv5"));
    let expected = searches.then_some(Warning::SearchesBesideProxy);
    assert_eq!(config.validate().unwrap(), expected.into_iter().collect::<Vec<_>>());
    config.no_discovery = true;
    assert_eq!(config.validate().unwrap(), []);
}
