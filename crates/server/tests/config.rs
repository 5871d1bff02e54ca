//! The options: every bad value is explained, and the defaults are what they are said to be.

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

use devp2p_core::{Host, LanPolicy, Node};
use devp2p_peer::{CapabilityError, Protocol};
use devp2p_server::{Config, Problem, Server, StartError, Warning};

use self::support::{Quiet, id, key, node};

fn changed(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::new(key(1));
    change(&mut config);
    config
}

#[test]
fn every_bad_value_is_explained() {
    type Change = fn(&mut Config);
    type IsIt = fn(&Problem) -> bool;
    let table: [(Change, IsIt, &str); 14] = [
        (
            |config| config.private_key = None,
            |problem| *problem == Problem::PrivateKeyMissing,
            "private_key must be set",
        ),
        (
            |config| config.dial_ratio = 0,
            |problem| *problem == Problem::DialRatioZero,
            "dial_ratio must be at least 1",
        ),
        (
            |config| config.max_pending_peers = 0,
            |problem| *problem == Problem::MaxPendingPeersZero,
            "max_pending_peers must be at least 1 for a server that listens",
        ),
        (
            |config| config.setup_timeout = Duration::ZERO,
            |problem| *problem == Problem::Zero("setup_timeout"),
            "setup_timeout must not be zero",
        ),
        (
            |config| config.name = "x".repeat(257),
            |problem| *problem == Problem::Name,
            "name must be at most 256 bytes of printable text",
        ),
        (
            |config| config.name = "two\nlines".into(),
            |problem| *problem == Problem::Name,
            "name must be at most 256 bytes of printable text",
        ),
        (
            |config| {
                config.protocols =
                    vec![Protocol::new(Quiet("twice")), Protocol::new(Quiet("twice"))]
            },
            |problem| matches!(problem, Problem::Protocols(CapabilityError { .. })),
            "twice/1",
        ),
        (
            |config| config.protocols = vec![Protocol::new(Quiet("a b"))],
            |problem| matches!(problem, Problem::Protocols(CapabilityError { .. })),
            "is not printable ascii",
        ),
        (
            |config| config.protocols = vec![Protocol::new(Quiet("ninechars"))],
            |problem| matches!(problem, Problem::Protocols(CapabilityError { .. })),
            "does not have 1 to 8 characters",
        ),
        (
            |config| config.static_nodes = vec![node(2), node(1)],
            |problem| *problem == Problem::StaticNodeIsSelf(node(1)),
            "is this node itself",
        ),
        (
            |config| config.static_nodes = vec![without_port(2)],
            |problem| *problem == Problem::StaticNodeWithoutPort(without_port(2)),
            "has no tcp port to dial",
        ),
        (
            |config| config.bootstrap_nodes = vec![bootnode(2), Node::from(key(3).public_key())],
            |problem| {
                *problem == Problem::BootstrapNodeWithoutAddress(Node::from(key(3).public_key()))
            },
            "has no udp endpoint to ask",
        ),
        (
            // It could be dialed, and not be asked.
            |config| config.bootstrap_nodes = vec![node(2)],
            |problem| *problem == Problem::BootstrapNodeWithoutAddress(node(2)),
            "has no udp endpoint to ask",
        ),
        (
            |config| {
                config.protocols = (0..512).map(|n: u16| Protocol::new(Many(n))).collect();
            },
            |problem| matches!(problem, Problem::HelloTooLarge(size) if *size > 2_048),
            "above the limit of 2048",
        ),
    ];
    for (change, is_it, text) in table {
        let error = changed(change).validate().expect_err(text);
        let [problem] = error.problems() else { panic!("{error}") };
        assert!(is_it(problem), "{problem:?}");
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.to_string(), problem.to_string());
    }
}

/// A node with an address and without a TCP port.
fn without_port(n: u16) -> Node {
    Node::new(key(n).public_key(), node(n).host().cloned(), 0, 30303)
}

fn bootnode(n: u16) -> Node {
    Node::new(key(n).public_key(), node(n).host().cloned(), 0, 30303)
}

#[test]
fn bootstrap_nodes_are_those_that_discovery_can_ask() {
    let named = Node::new(key(3).public_key(), Some(Host::Dns("node.example".into())), 0, 30303);
    let config = changed(|config| config.bootstrap_nodes = vec![bootnode(2), named.clone()]);
    assert_eq!(config.validate().unwrap(), []);
    let nameless = Node::new(key(3).public_key(), Some(Host::Dns("node.example".into())), 30303, 0);
    let config = changed(|config| config.bootstrap_nodes = vec![nameless.clone()]);
    assert_eq!(
        config.validate().unwrap_err().problems(),
        [Problem::BootstrapNodeWithoutAddress(nameless)]
    );
    let unused = changed(|config| {
        config.bootstrap_nodes = vec![node(2)];
        config.no_discovery = true;
    });
    assert_eq!(unused.validate().unwrap(), [], "nobody asks or dials it");
    let only_dialed = changed(|config| {
        config.bootstrap_nodes = vec![node(2)];
        config.discovery_v4 = false;
    });
    assert_eq!(only_dialed.validate().unwrap(), [], "nobody asks it");

    // Discovery is wanted, and cannot run.
    let silent = |node| {
        changed(|config| {
            config.bootstrap_nodes = vec![node];
            config.listen_addr = None;
        })
        .validate()
    };
    let warnings = silent(bootnode(2)).unwrap();
    assert_eq!(warnings, [Warning::BootstrapNodesNotAsked]);
    let text = "discovery has no UDP address: bootstrap nodes will not be asked; set disc_addr";
    assert_eq!(warnings[0].to_string(), text);
    let problems = [Problem::BootstrapNodeWithoutAddress(node(2))];
    assert_eq!(silent(node(2)).unwrap_err().problems(), problems);

    // Those of discovery v5 are the same to it.
    let v5 = |nodes: [Node; 1], addr: Option<&str>| {
        changed(|config| {
            config.bootstrap_nodes_v5 = nodes.to_vec();
            config.listen_addr = None;
            config.discovery_v5_addr = addr.map(|addr| addr.parse().unwrap());
        })
    };
    assert_eq!(v5([bootnode(2)], None).validate().unwrap(), [Warning::BootstrapNodesNotAsked]);
    assert_eq!(v5([bootnode(2)], Some("127.0.0.1:0")).validate().unwrap(), []);
    assert_eq!(v5([node(2)], None).validate().unwrap_err().problems(), problems);
    let mut unused = v5([node(2)], None);
    unused.discovery_v5 = false;
    assert_eq!(unused.validate().unwrap(), [], "nobody asks it");
}

#[test]
fn options_that_must_not_be_zero() {
    type Change = fn(&mut Config);
    let table: [(&str, Change); 26] = [
        ("setup_timeout", |config| config.setup_timeout = Duration::ZERO),
        ("inbound.per_prefix", |config| config.inbound.per_prefix = 0),
        ("inbound.peers_per_prefix", |config| config.inbound.peers_per_prefix = 0),
        ("peer.hello_timeout", |config| config.peer.hello_timeout = Duration::ZERO),
        ("peer.ping_interval", |config| config.peer.ping_interval = Duration::ZERO),
        ("peer.pong_timeout", |config| config.peer.pong_timeout = Duration::ZERO),
        ("peer.stall_timeout", |config| config.peer.stall_timeout = Duration::ZERO),
        ("peer.max_message", |config| config.peer.max_message = 0),
        ("rlpx.handshake_timeout", |config| config.rlpx.handshake_timeout = Duration::ZERO),
        ("rlpx.read_timeout", |config| config.rlpx.read_timeout = Duration::ZERO),
        ("rlpx.write_timeout", |config| config.rlpx.write_timeout = Duration::ZERO),
        ("rlpx.max_message_size", |config| config.rlpx.max_message_size = 0),
        ("dial.max_active_dials", |config| config.dial.max_active_dials = 0),
        ("dial.max_dialed_per_prefix", |config| config.dial.max_dialed_per_prefix = 0),
        ("dial.resolve_timeout", |config| config.dial.resolve_timeout = Duration::ZERO),
        ("shares.v4", |config| config.shares.v4 = 0),
        ("shares.v5", |config| config.shares.v5 = 0),
        ("shares.dns", |config| config.shares.dns = 0),
        ("shares.remembered", |config| config.shares.remembered = 0),
        ("shares.custom", |config| config.shares.custom = 0),
        ("shares.subprotocols", |config| config.shares.subprotocols = 0),
        ("dial.static_backoff", |config| config.dial.static_backoff = from_zero()),
        ("dial.dynamic_backoff", |config| config.dial.dynamic_backoff = from_zero()),
        ("dial.useless_backoff", |config| config.dial.useless_backoff = from_zero()),
        ("dial.resolve_backoff", |config| config.dial.resolve_backoff = from_zero()),
        ("dial.collision_backoff", |config| config.dial.collision_backoff = from_zero()),
    ];
    for (name, change) in table {
        let error = changed(change).validate().expect_err(name);
        assert_eq!(error.problems(), [Problem::Zero(name)]);
        assert_eq!(error.to_string(), format!("{name} must not be zero"));
    }
    // These say that there is no such limit or wait.
    let unlimited = changed(|config| {
        config.inbound.per_address = Duration::ZERO;
        config.dial.history = Duration::ZERO;
        config.dial.bootstrap_after = Duration::ZERO;
        config.dial.stats_interval = Duration::ZERO;
        config.peer.linger = Duration::ZERO;
    });
    assert_eq!(unlimited.validate().unwrap(), []);
}

#[cfg(feature = "dnsdisc")]
#[test]
fn lists_in_dns_need_somebody_who_asks_dns() {
    let link = "enrtree://AKA3AM6LPBYEUDMVNU3BSVQJ5AD45Y7YPOHJLEF6W26QOE4VTUDPE@nodes.example.org";
    let mut config = changed(|config| config.dns_lists = vec![link.parse().unwrap()]);
    let expected = if cfg!(feature = "hickory") {
        Ok(Vec::new())
    } else {
        Err("dns_lists needs a dns_resolver, or the feature `hickory`".to_owned())
    };
    assert_eq!(config.validate().map_err(|error| error.to_string()), expected);
    struct Nothing;
    impl devp2p_dnsdisc::Resolver for Nothing {
        async fn lookup_txt(
            &self,
            _: &str,
        ) -> Result<Vec<devp2p_dnsdisc::Txt>, devp2p_dnsdisc::LookupError> {
            Err(devp2p_dnsdisc::LookupError::NotFound)
        }
    }
    config.dns_resolver = Some(devp2p_dnsdisc::AnyResolver::new(Nothing));
    assert_eq!(config.validate().unwrap(), []);
    for (name, change) in [
        (
            "dnsdisc.lookup_timeout",
            (|it| it.lookup_timeout = Duration::ZERO) as fn(&mut devp2p_dnsdisc::Config),
        ),
        ("dnsdisc.max_entries", |it| it.max_entries = 0),
        ("dnsdisc.recheck_interval", |it| it.recheck_interval = Duration::ZERO),
    ] {
        let mut config = config.clone();
        change(&mut config.dnsdisc);
        assert_eq!(config.validate().unwrap_err().problems(), [Problem::Zero(name)]);
    }
}

fn from_zero() -> RangeInclusive<Duration> {
    Duration::ZERO..=Duration::from_secs(1)
}

fn backwards() -> RangeInclusive<Duration> {
    Duration::from_secs(2)..=Duration::from_secs(1)
}

#[test]
fn a_range_begins_before_it_ends() {
    type Change = fn(&mut Config);
    let table: [(&str, Change); 5] = [
        ("dial.static_backoff", |config| config.dial.static_backoff = backwards()),
        ("dial.dynamic_backoff", |config| config.dial.dynamic_backoff = backwards()),
        ("dial.useless_backoff", |config| config.dial.useless_backoff = backwards()),
        ("dial.resolve_backoff", |config| config.dial.resolve_backoff = backwards()),
        ("dial.collision_backoff", |config| config.dial.collision_backoff = backwards()),
    ];
    for (name, change) in table {
        let error = changed(change).validate().expect_err(name);
        assert_eq!(error.problems(), [Problem::EmptyRange(name)]);
        assert_eq!(error.to_string(), format!("{name} ends before it begins"));
    }
}

/// One of many subprotocols.
struct Many(u16);

impl devp2p_peer::Subprotocol for Many {
    fn capability(&self) -> devp2p_peer::Capability {
        devp2p_peer::Capability::new(format!("p{}", self.0), 1)
    }

    fn length(&self) -> u64 {
        1
    }

    async fn run(
        &self,
        _: devp2p_peer::Peer,
        _: devp2p_peer::ProtocolStream,
    ) -> Result<(), devp2p_peer::ProtocolError> {
        Ok(())
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let config = changed(|config| {
        config.private_key = None;
        config.dial_ratio = 0;
        config.setup_timeout = Duration::ZERO;
        config.discv4.request_timeout = Duration::ZERO;
    });
    let error = config.validate().unwrap_err();
    assert_eq!(
        error.problems(),
        [
            Problem::PrivateKeyMissing,
            Problem::DialRatioZero,
            Problem::Zero("setup_timeout"),
            Problem::Zero("discv4.request_timeout"),
        ]
    );
    let text = error.to_string();
    assert_eq!(
        text,
        "private_key must be set; dial_ratio must be at least 1; setup_timeout must not be zero; \
         discv4.request_timeout must not be zero"
    );
}

#[test]
fn what_works_but_means_little_is_a_warning() {
    let validate = |change: fn(&mut Config)| changed(change).validate().unwrap();
    assert_eq!(validate(|_| {}), []);
    assert_eq!(validate(|config| config.listen_addr = None), [], "it dials");
    assert_eq!(validate(|config| config.no_dial = true), [], "it listens");
    let useless = validate(|config| {
        config.no_dial = true;
        config.listen_addr = None;
        config.max_pending_peers = 0;
    });
    assert_eq!(useless, [Warning::Useless]);
    let text = "P2P server will be useless, neither dialing nor listening";
    assert_eq!(useless.first().unwrap().to_string(), text);
    let undialed = validate(|config| {
        config.no_dial = true;
        config.static_nodes = vec![node(2)];
    });
    assert_eq!(undialed, [Warning::StaticNodesNotDialed]);

    let refused = validate(|config| {
        config.max_peers = 0;
        config.static_nodes = vec![node(2), node(3)];
        config.trusted_nodes = vec![node(2)];
    });
    assert_eq!(refused, [Warning::StaticNodesRefused]);
    let text = "max_peers is 0: static nodes will be dialed and refused, but for trusted ones";
    assert_eq!(refused.first().unwrap().to_string(), text);
    let trusted = validate(|config| {
        config.max_peers = 0;
        config.static_nodes = vec![node(2)];
        config.trusted_nodes = vec![node(2)];
    });
    assert_eq!(trusted, []);

    let outside = validate(|config| {
        let named = Host::Dns("node.example".into());
        let named = Node::new(key(4).public_key(), Some(named), 30303, 0);
        config.static_nodes = vec![node(2), node(3), named];
        config.net_restrict = Some(format!("{}/32", support::ip(2)).parse().unwrap());
    });
    assert_eq!(outside, [Warning::StaticNodeOutsideNetRestrict(node(3))]);
    let text = format!("the static node {} is outside of net_restrict: it is not dialed", node(3));
    assert_eq!(outside.first().unwrap().to_string(), text);

    let outside = validate(|config| {
        config.bootstrap_nodes = vec![bootnode(2), bootnode(3)];
        config.net_restrict = Some(format!("{}/32", support::ip(2)).parse().unwrap());
    });
    assert_eq!(outside, [Warning::BootstrapNodeOutsideNetRestrict(bootnode(3))]);
    let text = format!("the bootstrap node {} is outside of net_restrict", bootnode(3));
    assert!(outside.first().unwrap().to_string().starts_with(&text));
}

#[tokio::test]
async fn a_server_is_not_built_from_bad_options() {
    let error = Server::from_config(Config::default()).unwrap_err();
    assert_eq!(error.problems(), [Problem::PrivateKeyMissing]);
    match Server::builder(key(1)).name("\0").start().await {
        Err(StartError::Config(error)) => assert_eq!(error.problems(), [Problem::Name]),
        other => panic!("{other:?}"),
    }
}

/// Whoever weakens one of these has to change it here too, and think of who relies on it.
#[test]
fn the_defaults() {
    let config = Config::new(key(1));
    assert_eq!(config.private_key.as_ref().map(devp2p_core::NodeKey::id), Some(id(1)));
    assert_eq!((config.max_peers, config.max_pending_peers, config.dial_ratio), (50, 50, 3));
    assert_eq!((config.max_dialed(), config.max_inbound()), (16, 34));
    assert!(config.name.starts_with("devp2p-rs/v"), "{}", config.name);
    assert!(config.static_nodes.is_empty() && config.trusted_nodes.is_empty());
    assert!(config.bootstrap_nodes.is_empty() && config.protocols.is_empty());
    assert_eq!(config.net_restrict, None);
    assert_eq!(config.listen_addr, Some(SocketAddr::from(([0, 0, 0, 0], 30303))));
    assert!(config.dialer.is_none());
    assert!(!config.no_dial && !config.enable_msg_events);
    assert!(!config.no_discovery && config.discovery_v4 && config.discovery_v5);
    assert!(config.bootstrap_nodes_v5.is_empty());
    assert_eq!((config.disc_addr, config.discovery_v5_addr), (None, None));
    assert_eq!(config.setup_timeout, Duration::from_secs(5));
    assert_eq!(config.seed, None);

    let scheduler = devp2p_dial::Config::new(id(1));
    assert_eq!(config.dial.max_active_dials, 16);
    assert_eq!(config.dial.max_dialed_per_prefix, 2);
    assert_eq!(config.lan_policy, LanPolicy::Exempt);
    assert_eq!(config.dial.history, Duration::from_secs(35));
    assert_eq!(config.dial.bootstrap_after, Duration::from_secs(20));
    assert_eq!(config.dial.static_backoff, scheduler.static_backoff);
    assert_eq!(config.dial.dynamic_backoff, scheduler.dynamic_backoff);
    assert_eq!(config.dial.useless_backoff, scheduler.useless_backoff);
    assert_eq!(config.dial.resolve_backoff, scheduler.resolve_backoff);
    assert_eq!(config.dial.collision_backoff, scheduler.collision_backoff);

    let shares = config.shares;
    assert_eq!((shares.v4, shares.v5, shares.custom, shares.subprotocols), (1, 1, 1, 1));
    assert_eq!((shares.remembered, shares.dns), (1, 1));
    assert!(config.dial_filter.is_none());
    assert_eq!(devp2p_server::Mix::PATIENCE, Duration::from_millis(100));

    assert_eq!(config.inbound.per_address, Duration::from_secs(30));
    assert_eq!(config.inbound.per_prefix, 8);
    assert_eq!(config.inbound.peers_per_prefix, 2);
    assert_eq!(config.inbound.lan_policy, LanPolicy::Exempt);
    assert_eq!(config.inbound.net_restrict, None);

    let core = devp2p_server::CoreConfig::new(id(1));
    assert_eq!((core.max_peers, core.max_inbound, core.max_pending_peers), (50, 34, 50));
    assert!(core.has_protocols && core.trusted.is_empty());
    assert_eq!(devp2p_server::DIAL_TIMEOUT, Duration::from_secs(15));
    assert_eq!(devp2p_server::RESOLVE_TIMEOUT, Duration::from_secs(5));
}

#[test]
fn the_shares_of_dialed_and_inbound_peers() {
    // max_peers, dial_ratio, no_dial -> dialed, inbound: go-ethereum's arithmetic.
    let table = [
        ((50, 3, false), (16, 34)),
        ((50, 1, false), (50, 0)),
        ((50, 3, true), (0, 50)),
        ((2, 3, false), (1, 1)),
        ((1, 3, false), (1, 0)),
        ((0, 3, false), (0, 0)),
        ((10, 100, false), (1, 9)),
    ];
    for ((max_peers, dial_ratio, no_dial), expected) in table {
        let config = changed(|config| {
            config.max_peers = max_peers;
            config.dial_ratio = dial_ratio;
            config.no_dial = no_dial;
        });
        assert_eq!((config.max_dialed(), config.max_inbound()), expected, "{max_peers}");
    }
}
