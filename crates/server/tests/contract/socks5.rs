//! Dials through a SOCKS5 proxy, on sockets of this machine.

use std::{io, net::SocketAddr};

use devp2p_core::{Host, Node};
use devp2p_server::{
    Dialer, Listener, Socks5Dialer,
    contract::dialer::{self, Network},
};
use futures::future::BoxFuture;

use super::dialer::Tcp;
use crate::support::socks5::Proxy;

/// Real sockets, and a proxy between them.
struct Proxied {
    tcp: Tcp,
    proxy: Proxy,
}

impl Network for Proxied {
    fn listen(
        &self,
        address: Option<SocketAddr>,
    ) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        self.tcp.listen(address)
    }

    fn dialer(&self) -> Box<dyn Dialer> {
        let addr = self.proxy.addr();
        let dialer = Socks5Dialer::new(Host::Ip(addr.ip()), addr.port());
        Box::new(dialer.with_timeout(Tcp::PATIENCE))
    }

    fn silent_node(&self) -> Option<Node> {
        self.tcp.silent_node()
    }
}

#[tokio::test]
async fn socks5() {
    let network = Proxied { tcp: Tcp::new().await, proxy: Proxy::start(None, []).await };
    let report = dialer::check(&network).await;
    assert!(report.checked().contains(&"no answer"));
    report.assert_kept();
    assert!(network.proxy.asked().len() > 10, "all of it went through the proxy");
}
