use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use data_encoding::HEXLOWER;
use devp2p_core::{Node, NodeId, NodeKey, Record};
use serde::Deserialize;
use serde_json::json;

use crate::{
    Answer, Event, Foreign, Geth, Npm, Sigp,
    process::{BATCH_PATIENCE, now},
};

/// How often a table is looked at that tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The talk protocol whose answers are the requests; of others they are empty.
pub const ECHO: &str = "echo";

/// An implementation of discovery v5 that the machine has.
#[derive(Clone, Copy, Debug)]
pub enum Discv5Program {
    /// go-ethereum.
    Geth(&'static Geth),
    /// The crate `discv5`.
    Sigp(&'static Sigp),
    /// `@chainsafe/discv5`.
    Chainsafe(&'static Npm),
}

/// How a node of discovery v5 starts.
#[derive(Clone, Debug)]
pub struct Discv5Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whom it knows.
    pub bootnodes: Vec<Record>,
    /// How long its sessions live; geth's live for ever.
    pub session_timeout: Option<Duration>,
    /// sigp: its packet filter is on.
    pub has_filter: bool,
}

/// A running discovery v5 of another implementation. It is killed when this is dropped.
#[derive(Debug)]
pub struct ForeignDiscv5 {
    program: Discv5Program,
    key: NodeKey,
    options: Discv5Options,
    foreign: Foreign,
}

/// The answer to a PING as the foreign node saw it.
#[derive(Clone, Debug, Deserialize)]
pub struct Discv5Pong {
    /// How long it took, in microseconds.
    pub micros: u64,
    /// The number of the other's record.
    pub enr_seq: u64,
    /// Its own endpoint as the other sees it.
    ip: IpAddr,
    port: u16,
}

impl Discv5Pong {
    /// Its own endpoint as the other sees it.
    pub const fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

/// A node in the table of a foreign node.
#[derive(Clone, Debug)]
pub struct Discv5Entry {
    /// Its record.
    pub record: Record,
    /// Whether it has answered, or is connected as others call it.
    pub is_live: bool,
}

impl Default for Discv5Options {
    /// A free port of 127.0.0.1, and nobody known.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            bootnodes: Vec::new(),
            session_timeout: None,
            has_filter: false,
        }
    }
}

impl Discv5Program {
    /// Those that the machine has; of the others it is said by name on stderr that they are left
    /// out.
    ///
    /// # Panics
    /// When one is missing although `DEVP2P_INTEROP=require`.
    pub fn all() -> Vec<Self> {
        [
            crate::geth().map(Self::Geth),
            crate::sigp().map(Self::Sigp),
            crate::chainsafe().map(Self::Chainsafe),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Geth(_) => "geth",
            Self::Sigp(_) => "sigp",
            Self::Chainsafe(_) => "chainsafe",
        }
    }

    /// Starts a node with a fresh key.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(self, options: Discv5Options) -> ForeignDiscv5 {
        self.start_with(NodeKey::generate().expect("there is entropy"), options).await
    }

    /// Starts a node with this key.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(self, key: NodeKey, mut options: Discv5Options) -> ForeignDiscv5 {
        let flags = self.flags(&key, &options);
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let foreign = match self {
            Self::Geth(geth) => geth.discv5(&flags).await,
            Self::Sigp(sigp) => sigp.discv5(&flags).await,
            Self::Chainsafe(npm) => npm.discv5(&flags).await,
        };
        options.listen = foreign.node().udp_addr().expect("its record has an endpoint");
        ForeignDiscv5 { program: self, key, options, foreign }
    }

    fn flags(self, key: &NodeKey, options: &Discv5Options) -> Vec<String> {
        let mut flags = Vec::new();
        let mut set = |flag: &str, value: String| flags.extend([format!("--{flag}"), value]);
        set("key", HEXLOWER.encode(&*key.to_bytes()));
        set("listen", options.listen.to_string());
        for record in &options.bootnodes {
            set("bootnode", record.to_string());
        }
        match self {
            // Check the table at once, so that tests need not wait for its 3 s.
            Self::Geth(_) => set("ping", "200ms".to_owned()),
            Self::Sigp(_) | Self::Chainsafe(_) => {
                if let Some(timeout) = options.session_timeout {
                    set("session-timeout", timeout.as_millis().to_string());
                }
            }
        }
        if options.has_filter && matches!(self, Self::Sigp(_)) {
            flags.push("--filter".to_owned());
        }
        flags
    }
}

impl ForeignDiscv5 {
    /// The implementation.
    pub const fn program(&self) -> Discv5Program {
        self.program
    }

    /// Its id.
    pub const fn id(&self) -> NodeId {
        self.foreign.id()
    }

    /// The node, by the record that it had when it started.
    pub const fn node(&self) -> &Node {
        self.foreign.node()
    }

    /// The record that it had when it started.
    ///
    /// # Panics
    /// Never: it says ready with a record.
    pub fn first_record(&self) -> Record {
        self.foreign.record().expect("it has a record").clone()
    }

    /// Where it listens.
    pub const fn endpoint(&self) -> SocketAddr {
        self.options.listen
    }

    /// Its record.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn record(&mut self) -> Record {
        record(&self.foreign.ask::<String>("self", json!({})).await.expect("it knows itself"))
    }

    /// Sets an entry of its record to a string of bytes, and gives the new record.
    ///
    /// # Panics
    /// When that fails.
    pub async fn set_entry(&mut self, key: &str, value: &[u8]) -> Record {
        let arguments = json!({ "key": key, "hex": HEXLOWER.encode(value) });
        record(&self.foreign.ask::<String>("set", arguments).await.expect("any can be set"))
    }

    /// Has it send PING.
    ///
    /// # Errors
    /// What it says, mostly that no answer came.
    pub async fn ping(&mut self, node: &Record) -> Answer<Discv5Pong> {
        self.foreign.ask("ping", json!({ "enr": node.to_string() })).await
    }

    /// Has it send FINDNODE.
    ///
    /// # Errors
    /// What it says, mostly that no answer came.
    pub async fn find_node(&mut self, node: &Record, distances: &[u16]) -> Answer<Vec<Record>> {
        let arguments = json!({ "enr": node.to_string(), "distances": distances });
        Ok(records(self.foreign.ask("findnode", arguments).await?))
    }

    /// Has it send TALKREQ.
    ///
    /// # Errors
    /// What it says, mostly that no answer came.
    ///
    /// # Panics
    /// When it gives no hex.
    pub async fn talk(&mut self, node: &Record, protocol: &str, request: &[u8]) -> Answer<Vec<u8>> {
        let request = HEXLOWER.encode(request);
        let arguments = json!({ "enr": node.to_string(), "protocol": protocol, "hex": request });
        let response: String = self.foreign.ask("talk", arguments).await?;
        Ok(HEXLOWER.decode(response.as_bytes()).expect("the answer is hex"))
    }

    /// A whole lookup for the id of a node.
    ///
    /// # Errors
    /// What it says.
    pub async fn lookup(&mut self, target: NodeId) -> Answer<Vec<Record>> {
        Ok(records(self.foreign.ask("lookup", json!({ "id": target.to_string() })).await?))
    }

    /// sigp and chainsafe: puts a node in its table of which it knows nothing but the record.
    ///
    /// # Errors
    /// What it says.
    pub async fn add_node(&mut self, node: &Record) -> Answer<()> {
        self.foreign.ask("addnode", json!({ "enr": node.to_string() })).await
    }

    /// Its table.
    ///
    /// # Panics
    /// When it does not tell.
    pub async fn table(&mut self) -> Vec<Discv5Entry> {
        #[derive(Deserialize)]
        struct Entry {
            enr: String,
            live: bool,
        }
        let table: Vec<Entry> =
            self.foreign.ask("table", json!({})).await.expect("a node knows its table");
        table
            .into_iter()
            .map(|entry| Discv5Entry { record: record(&entry.enr), is_live: entry.live })
            .collect()
    }

    /// Waits until its table is like this, and gives it. Tables tell not everything that happens.
    ///
    /// # Panics
    /// When it is not for a minute.
    pub async fn table_when(
        &mut self,
        what: &str,
        is_so: impl Fn(&[Discv5Entry]) -> bool,
    ) -> Vec<Discv5Entry> {
        let deadline = now() + BATCH_PATIENCE;
        loop {
            let table = self.table().await;
            if is_so(&table) {
                return table;
            }
            assert!(now() < deadline, "not in a minute: {what}; there is {table:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until a node is in its table and has answered it.
    pub async fn live(&mut self, id: NodeId) {
        let what = format!("{id:#} is live for {}", self.program.name());
        let is = |entry: &Discv5Entry| entry.record.id() == id && entry.is_live;
        self.table_when(&what, |table| table.iter().any(is)).await;
    }

    /// geth: what was worth nothing to it, as it says.
    pub fn bad_packets(&mut self) -> Vec<String> {
        self.foreign.seen(|event| match event {
            Event::BadPacket { addr, error } => Some(format!("{addr}: {error}")),
            _ => None,
        })
    }

    /// Kills it, and starts it again with the same key, at the same address: it has forgotten all
    /// its sessions.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(self) -> Self {
        self.foreign.kill().await;
        self.program.start_with(self.key, self.options).await
    }

    /// Stops it properly and waits until it has ended.
    pub async fn stop(self) {
        self.foreign.stop().await;
    }
}

fn record(text: &str) -> Record {
    text.parse().expect("a peer gives a good record")
}

fn records(texts: Vec<String>) -> Vec<Record> {
    texts.iter().map(|text| record(text)).collect()
}
