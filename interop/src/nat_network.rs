use std::{
    fs, io,
    path::PathBuf,
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use devp2p_core::Record;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{ChildStdin, ChildStdout},
    time::timeout,
};

use crate::{
    process::PATIENCE,
    program::{build_dir, cargo_build, output},
};

/// A NAT in network namespaces of this machine: miniupnpd's, with a node behind it, and coturn
/// outside.
#[derive(Debug)]
pub struct NatPrograms {
    /// The example `nat_node`.
    node: PathBuf,
}

impl NatPrograms {
    /// An error says what the machine lacks: a program, or the right to make namespaces.
    pub(crate) fn find() -> Result<Self, String> {
        for program in ["ip", "nft", "miniupnpd", "turnserver"] {
            output(Command::new("sh").args(["-c", &format!("command -v {program}")]))
                .map_err(|_| format!("{program} is not installed"))?;
        }
        let name = unique("try");
        ip(&["netns", "add", &name])?;
        let works = ip(&["netns", "exec", &name, "nft", "add", "table", "inet", "try"]);
        ip(&["netns", "del", &name])?;
        works?;
        let folder = cargo_build(&["--package", "devp2p-interop", "--example", "nat_node"])
            .unwrap_or_else(|error| panic!("the example nat_node does not compile: {error}"));
        Ok(Self { node: folder.join("examples/nat_node") })
    }

    /// Three namespaces of their own: inside, the gateway, outside.
    ///
    /// # Panics
    /// When they cannot be made, or the programs do not start.
    pub fn network(&self) -> NatNetwork {
        let names = ["in", "gw", "out"].map(unique);
        let mut network =
            NatNetwork { node: self.node.clone(), names, daemons: Vec::new(), folder: folder() };
        network.make().unwrap_or_else(|error| panic!("no network: {error}"));
        network
    }
}

/// A network with a NAT. Its namespaces and programs are gone when this is dropped.
#[derive(Debug)]
pub struct NatNetwork {
    node: PathBuf,
    names: [String; 3],
    daemons: Vec<Child>,
    folder: PathBuf,
}

/// What miniupnpd fills the chains of; nothing from outside gets through else.
const RULES: &str = r#"table inet filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan" accept
    jump miniupnpd
  }
  chain miniupnpd { }
  chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
  chain postrouting {
    type nat hook postrouting priority 100;
    jump postrouting_miniupnpd
    oifname "wan" masquerade
  }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
}
"#;

const MINIUPNPD: &str = "ext_ifname=wan
listening_ip=lan
http_port=0
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
uuid=00000000-0000-0000-0000-000000000001
allow 1-65535 0.0.0.0/0 1-65535
";

impl NatNetwork {
    /// The address of the gateway outside, which looks like one of the internet: others are not
    /// told to anybody.
    pub const EXTERNAL: &str = "5.5.5.1";

    /// The STUN server.
    pub const STUN: &str = "5.5.5.2:3478";

    fn make(&mut self) -> Result<(), String> {
        let [inside, gateway, outside] = self.names.each_ref().map(String::as_str);
        for name in [inside, gateway, outside] {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        for (name, local, remote) in [(inside, "node", "lan"), (outside, "world", "wan")] {
            let ends = ["type", "veth", "peer", "name", remote, "netns", gateway];
            ip(&[&["link", "add", local, "netns", name], &ends[..]].concat())?;
        }
        for (name, interface, address) in [
            (inside, "node", "192.168.77.2/24"),
            (gateway, "lan", "192.168.77.1/24"),
            (gateway, "wan", "5.5.5.1/24"),
            (outside, "world", "5.5.5.2/24"),
        ] {
            ip(&["-n", name, "addr", "add", address, "dev", interface])?;
            ip(&["-n", name, "link", "set", interface, "up"])?;
        }
        ip(&["-n", inside, "route", "add", "default", "via", "192.168.77.1"])?;
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        ip(&["netns", "exec", gateway, "sh", "-c", forward])?;

        let file = |name: &str, content: &str| {
            let path = self.folder.join(name);
            fs::write(&path, content).map_err(|error| error.to_string())?;
            Ok::<_, String>(path.display().to_string())
        };
        let rules = file("rules.nft", RULES)?;
        ip(&["netns", "exec", gateway, "nft", "-f", &rules])?;
        let leases = self.folder.join("leases").display().to_string();
        let config = file("miniupnpd.conf", &format!("{MINIUPNPD}lease_file={leases}\n"))?;
        let pid = self.folder.join("miniupnpd.pid").display().to_string();
        let upnp = ["miniupnpd", "-d", "-f", &config, "-P", &pid];
        let stun = ["turnserver", "-n", "-S", "-L", "5.5.5.2", "-p", "3478", "--no-cli"];
        let stun = [&stun[..], &["--no-tls", "--no-dtls", "--log-file", "stdout"]].concat();
        // Searches of UPnP, NAT-PMP and PCP; STUN.
        let ports = [(gateway, &upnp[..], &[1_900, 5_351][..]), (outside, &stun, &[3_478])];
        for (name, program, ports) in ports {
            let daemon = within(name, program)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| format!("{program:?}: {error}"))?;
            self.daemons.push(daemon);
            listens(name, ports)?;
        }
        Ok(())
    }

    /// Starts a server behind the NAT.
    ///
    /// # Panics
    /// When it does not start.
    pub fn behind(&self, nat: &str) -> NodeBehindNat {
        let [inside, ..] = &self.names;
        let node = self.node.display().to_string();
        let mut child = tokio::process::Command::from(within(inside, &[&node, "behind", nat]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the node starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let records = BufReader::new(stdout.expect("stdout is piped")).lines();
        NodeBehindNat { stdin: stdin.expect("stdin is piped"), records, child }
    }

    /// What a server outside can do with this record: whether the node was added as a peer, and
    /// whether it answered a ping.
    ///
    /// # Panics
    /// When that cannot be found out.
    pub async fn reach(&self, record: &Record) -> String {
        let [.., outside] = &self.names;
        let node = self.node.display().to_string();
        let command = within(outside, &[&node, "outside", &record.to_string()]);
        let mut command = tokio::process::Command::from(command);
        let done = timeout(PATIENCE, command.kill_on_drop(true).output()).await;
        let done = done.expect("it ends").expect("it runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// How many ports are mapped at the gateway.
    ///
    /// # Panics
    /// When the rules cannot be read.
    pub fn mapped_ports(&self) -> usize {
        let [_, gateway, _] = &self.names;
        let chain = ["list", "chain", "inet", "filter", "prerouting_miniupnpd"];
        let rules = output(within(gateway, &["nft"]).args(chain)).expect("the rules can be read");
        rules.lines().filter(|rule| rule.contains("dnat")).count()
    }
}

impl Drop for NatNetwork {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        for name in &self.names {
            let _ = ip(&["netns", "del", name]);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A server behind the NAT. It is killed when this is dropped.
#[derive(Debug)]
pub struct NodeBehindNat {
    stdin: ChildStdin,
    records: Lines<BufReader<ChildStdout>>,
    child: tokio::process::Child,
}

impl NodeBehindNat {
    /// Waits until its record is such a one.
    ///
    /// # Panics
    /// When it is not in time.
    pub async fn record_when(&mut self, what: &str, is_it: impl Fn(&Record) -> bool) -> Record {
        let mut last = None;
        let wait = async {
            loop {
                let line = self.records.next_line().await.expect("the node is read");
                let record: Record = line.expect("the node runs").parse().expect("a record");
                if is_it(&record) {
                    return record;
                }
                last = Some(record);
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: the last is {last:?}"))
    }

    /// Stops it, and waits for its end.
    ///
    /// # Panics
    /// When it does not end, or not well.
    pub async fn stop(mut self) {
        drop(self.stdin);
        let end = timeout(Duration::from_secs(5), self.child.wait()).await;
        let end = end.expect("it ends").expect("it ran");
        assert!(end.success(), "{end}");
    }
}

/// Waits until somebody in the namespace listens on these UDP ports: what comes earlier is lost.
fn listens(name: &str, ports: &[u16]) -> Result<(), String> {
    for _ in 0..100 {
        let sockets = ip(&["netns", "exec", name, "cat", "/proc/net/udp"])?;
        if ports.iter().all(|port| sockets.contains(&format!(":{port:04X} "))) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(format!("nobody listens on {ports:?}"))
}

/// A command in a namespace.
fn within(name: &str, program: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name]).args(program);
    command
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    output(Command::new("ip").args(arguments))
}

/// A name that no other namespace of this machine has.
fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("devp2p-{}-{}-{name}", process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

fn folder() -> PathBuf {
    let folder = build_dir().join(unique("nat"));
    match fs::create_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            panic!("the target directory cannot be written: {error}")
        }
        _ => folder,
    }
}
