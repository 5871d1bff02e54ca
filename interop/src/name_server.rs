use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use devp2p_dnsdisc::{HickoryResolver, Resolver as _};
use tokio::time::sleep;

use crate::process::{PATIENCE, now};

/// The name server `knotd`.
#[derive(Debug)]
pub struct Knot {
    program: PathBuf,
}

impl Knot {
    /// Where it is: in Debian not on the path of everybody.
    pub(crate) fn find() -> Result<Self, String> {
        for program in ["knotd", "/usr/sbin/knotd"] {
            let mut command = Command::new(program);
            let command = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
            if command.status().is_ok_and(|status| status.success()) {
                return Ok(Self { program: program.into() });
            }
        }
        Err("knotd does not run".to_owned())
    }

    /// Has it serve a zone file for this domain on a free port of 127.0.0.1, with its files in
    /// `folder`.
    ///
    /// # Panics
    /// When it does not.
    pub async fn serve(&self, folder: &Path, domain: &str, zone: &Path) -> NameServer {
        let address = free_address();
        let (folder, zone) = (folder.display(), zone.display());
        let (ip, port) = (address.ip(), address.port());
        let configuration = format!(
            "server:\n  rundir: \"{folder}\"\n  listen: {ip}@{port}\n  udp-workers: 1\n  \
             tcp-workers: 1\n  background-workers: 1\n\
             database:\n  storage: \"{folder}\"\n\
             log:\n - target: \"{folder}/knot.log\"\n   any: info\n\
             zone:\n - domain: {domain}\n   file: \"{zone}\"\n"
        );
        let file = format!("{folder}/knot.conf");
        fs::write(&file, configuration).expect("the folder can be written");
        let mut command = Command::new(&self.program);
        let command = command.args(["-c", &file]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("it has run before");
        let server = NameServer { address, child };
        let resolver = HickoryResolver::from_servers([address]).expect("a resolver");
        let start = now();
        while resolver.lookup_txt(domain).await.is_err() {
            let log = fs::read_to_string(format!("{folder}/knot.log")).unwrap_or_default();
            assert!(start.elapsed() < PATIENCE, "knot does not serve {domain}: {log}");
            sleep(Duration::from_millis(50)).await;
        }
        server
    }
}

/// A name server that runs; it is killed when this is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    child: Child,
}

impl NameServer {
    /// Where it answers, by UDP and TCP.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of 127.0.0.1 with a port that is free for UDP and TCP.
fn free_address() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let address = udp.local_addr().expect("a socket has an address");
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
