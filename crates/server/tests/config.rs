//! The options: every bad value is explained, and the defaults are what they are said to be.

#[expect(dead_code, reason = "this file uses a part of it")]
mod support;

use std::{net::SocketAddr, time::Duration};

use devp2p_core::LanPolicy;
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
    let table: [(Change, IsIt, &str); 11] = [
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
            |problem| *problem == Problem::SetupTimeoutZero,
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
    });
    let error = config.validate().unwrap_err();
    assert_eq!(
        error.problems(),
        [Problem::PrivateKeyMissing, Problem::DialRatioZero, Problem::SetupTimeoutZero]
    );
    let text = error.to_string();
    assert_eq!(
        text,
        "private_key must be set; dial_ratio must be at least 1; setup_timeout must not be zero"
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
    assert_eq!(config.setup_timeout, Duration::from_secs(5));
    assert_eq!(config.seed, None);

    assert_eq!(config.inbound.per_address, Duration::from_secs(30));
    assert_eq!(config.inbound.per_prefix, 8);
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
