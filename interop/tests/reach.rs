//! Nodes that a server of ours gets to know by a list in DNS, or reaches through a proxy.

use std::{env, fs};

use devp2p_core::{Host, Node, NodeKey};
use devp2p_dnsdisc::{AnyResolver, HickoryResolver, Tree, Zone};
use devp2p_interop::{Event, Ours};
use devp2p_peer::Direction;
use devp2p_server::{DialFilter, Dialer as _, Socks5Dialer, Socks5Error};

#[tokio::test]
async fn geth_is_dialed_through_a_proxy_by_its_name() {
    let Some(microsocks) = devp2p_interop::microsocks() else { return };
    let Some(geth) = devp2p_interop::geth() else { return };
    let mut geth = geth.server(&[]).await;
    let proxy = microsocks.start("alice", "p@ss").await;
    // The name is one that the proxy knows; here nobody is asked for it.
    let port = geth.node().tcp_port().unwrap();
    let host = Some(Host::Dns("localhost".to_owned()));
    let named = Node::new(geth.node().public_key(), host, port, 0);
    let dialer: Socks5Dialer =
        format!("socks5://alice:p%40ss@{}", proxy.address()).parse().unwrap();
    let wrong = dialer.clone().with_login("alice", "pass").unwrap();

    let mut ours = Ours::start(|server| {
        let server = server.dialer(dialer).static_node(named.clone());
        server.configure(|config| config.no_discovery = true)
    })
    .await;
    let add = ours.added(geth.id()).await;
    assert_eq!((add.direction, add.remote_addr), (Direction::Outbound, None));
    let Event::PeerAdd { inbound, .. } = geth.added(ours.id()).await else {
        unreachable!("this is what added gives")
    };
    assert_eq!(inbound, Some(true));
    geth.echo(ours.id(), "itest", 100_000).await;

    let refused = wrong.dial(&named).await.unwrap_err();
    let why = refused.get_ref().and_then(|error| error.downcast_ref::<Socks5Error>());
    assert!(matches!(why, Some(Socks5Error::Login)), "{refused}");
    ours.handle.stop().await;
}

#[tokio::test]
async fn geth_is_found_in_a_list_of_a_real_name_server() {
    const DOMAIN: &str = "reach.example";
    let Some(knot) = devp2p_interop::knot() else { return };
    let Some(program) = devp2p_interop::geth() else { return };
    let (mut listed, filtered) = (program.server(&[]).await, program.server(&[]).await);
    let records = [&listed, &filtered].map(|geth| geth.record().unwrap().clone());
    let key = NodeKey::from_bytes(&[7; 32]).unwrap();
    let tree = Tree::new(1, records, []).unwrap().sign(&key, DOMAIN).unwrap();
    let folder = env::temp_dir().join(format!("devp2p-interop-{}-reach", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("zone");
    let name_servers = ["ns.example".to_owned()];
    fs::write(&file, Zone::new(&tree, &name_servers).unwrap().to_string()).unwrap();
    let name_server = knot.serve(&folder, DOMAIN, &file).await;

    let resolver = HickoryResolver::from_servers([name_server.address()]).unwrap();
    let unwanted = filtered.id();
    let mut ours = Ours::start(|server| {
        server.configure(|config| {
            config.no_discovery = true;
            config.dns_lists = vec![tree.link().clone()];
            config.dns_resolver = Some(AnyResolver::new(resolver));
            config.dial_filter = Some(DialFilter::new(move |node| node.id() != unwanted));
        })
    })
    .await;
    assert_eq!(ours.added(listed.id()).await.direction, Direction::Outbound);
    listed.added(ours.id()).await;
    while ours.handle.filtered_candidates() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(ours.handle.peer_count(), 1);
    ours.handle.stop().await;
    drop(name_server);
    fs::remove_dir_all(folder).unwrap();
}
