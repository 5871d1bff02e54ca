use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::sleep;

use crate::process::{PATIENCE, now};

/// The SOCKS5 proxy `microsocks`.
#[derive(Debug)]
pub struct Microsocks(());

impl Microsocks {
    pub(crate) fn find() -> Result<Self, String> {
        // It knows no option that does nothing; this one it refuses, and says how it is used.
        let mut command = Command::new("microsocks");
        let command = command.arg("-h").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().map(|_| Self(())).map_err(|error| format!("microsocks: {error}"))
    }

    /// Runs it on a free port of 127.0.0.1, for whoever has this login, with connections over IPv4.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn start(&self, user: &str, password: &str) -> Socks5Proxy {
        let address = free_address();
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut command = Command::new("microsocks");
        command.args(["-i", &ip, "-p", &port, "-b", &ip, "-u", user, "-P", password]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let proxy = Socks5Proxy { address, child: child.expect("it has run before") };
        let start = now();
        while TcpStream::connect(address).is_err() {
            assert!(start.elapsed() < PATIENCE, "microsocks does not listen on {address}");
            sleep(Duration::from_millis(20)).await;
        }
        proxy
    }
}

/// A proxy that runs; it is killed when this is dropped.
#[derive(Debug)]
pub struct Socks5Proxy {
    address: SocketAddr,
    child: Child,
}

impl Socks5Proxy {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Socks5Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a socket has an address")
}
