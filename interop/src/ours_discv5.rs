use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use devp2p_core::{LocalRecord, Node, NodeId, NodeKey, Record, Rng};
use devp2p_discv5::{Config, Driver, EntryInfo, Event, Events, Handle, Service, Socket};
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    foreign_discv5::ECHO,
    ours_discovery::{local_record, set_entry},
    process::{BATCH_PATIENCE, now},
};

/// How often our table is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Our discovery v5 alone, without a server. It answers the talk protocol `echo`, and ends when this
/// is dropped.
#[derive(Debug)]
pub struct OurDiscv5 {
    /// The way to it.
    pub handle: Handle,
    key: NodeKey,
    config: Config,
    address: SocketAddr,
    local: Arc<Mutex<LocalRecord>>,
    events: Events,
    /// Events that arrived while another was waited for.
    passed: VecDeque<Event>,
    driver: JoinHandle<std::io::Result<()>>,
    echo: JoinHandle<()>,
}

impl OurDiscv5 {
    /// Starts one with a fresh key at this address that knows of these nodes.
    ///
    /// # Panics
    /// When it does not start, as outside of a tokio runtime.
    pub async fn start(address: SocketAddr, bootnodes: &[Record]) -> Self {
        let mut config = Config::default();
        config.bootstrap_nodes = bootnodes.iter().cloned().map(Node::from_record).collect();
        Self::start_with(NodeKey::generate().expect("there is entropy"), address, config).await
    }

    /// Starts one with this key and configuration at this address.
    ///
    /// # Panics
    /// When it does not start, as outside of a tokio runtime.
    pub async fn start_with(key: NodeKey, address: SocketAddr, config: Config) -> Self {
        let socket = Socket::bind(address).expect("the address is free");
        let address = socket.local_addr().expect("a bound socket has an address");
        let local = Arc::new(Mutex::new(local_record(&key, address)));
        let seed = Rng::from_os().expect("there is entropy").seed();
        let (service, handle) =
            Service::new(config.clone(), key.clone(), Arc::clone(&local), Vec::new(), seed);
        let events = handle.events();
        let driver = tokio::spawn(Driver::new(service, socket));
        let mut requests = handle.register_talk(ECHO).await.expect("the service runs");
        let echo = tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let response = request.request().clone();
                request.respond(response).await.expect("the answer is in time, and fits");
            }
        });
        let passed = VecDeque::new();
        Self { handle, key, config, address, local, events, passed, driver, echo }
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.key.id()
    }

    /// Its record.
    pub fn record(&self) -> Record {
        self.handle.local_record()
    }

    /// Where it listens.
    pub const fn endpoint(&self) -> SocketAddr {
        self.address
    }

    /// Sets an entry of its record to a string of bytes, and gives the new record.
    ///
    /// # Panics
    /// When the entry cannot be set.
    pub fn set_entry(&self, key: &str, value: &[u8]) -> Record {
        set_entry(&self.local, key, value)
    }

    /// The first event, past or future, of which `pick` makes something.
    ///
    /// # Panics
    /// When there is none for a minute.
    pub async fn expect<T>(&mut self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        let found = self.passed.iter().enumerate().find_map(|(at, event)| Some((at, pick(event)?)));
        if let Some((at, picked)) = found {
            self.passed.remove(at);
            return picked;
        }
        let next = async {
            loop {
                let event = self.events.next().await?.expect("a test does not lag behind");
                match pick(&event) {
                    Some(picked) => return Some(picked),
                    None => self.passed.push_back(event),
                }
            }
        };
        match timeout(BATCH_PATIENCE, next).await {
            Ok(picked) => picked.unwrap_or_else(|| panic!("it ended; expected: {what}")),
            Err(_) => panic!(
                "our discovery did not give within {BATCH_PATIENCE:?}: {what}\n{:?}\n{:#?}",
                self.passed,
                self.handle.statistics().await
            ),
        }
    }

    /// The handshakes so far, since the last call: with whom, and whether they were ours.
    ///
    /// # Panics
    /// When the service has ended.
    pub async fn sessions(&mut self) -> Vec<(NodeId, bool)> {
        // What the service does before it answers, it has told.
        self.handle.statistics().await.expect("the service runs");
        let mut sessions = Vec::new();
        let mut pick = |event: &Event| {
            if let Event::SessionEstablished { id, is_initiator, .. } = event {
                sessions.push((*id, *is_initiator));
            }
        };
        self.passed.drain(..).for_each(|event| pick(&event));
        while let Some(Some(Ok(event))) = futures::FutureExt::now_or_never(self.events.next()) {
            pick(&event);
        }
        sessions
    }

    /// The nodes that have a place in its table.
    ///
    /// # Panics
    /// When it has ended.
    pub async fn table(&self) -> Vec<EntryInfo> {
        let table = self.handle.table().await.expect("the service runs");
        table.entries().cloned().collect()
    }

    /// Waits until its table is like this.
    ///
    /// # Panics
    /// When it is not for a minute.
    pub async fn table_when(&self, what: &str, is_so: impl Fn(&[EntryInfo]) -> bool) {
        let deadline = now() + BATCH_PATIENCE;
        loop {
            let table = self.table().await;
            if is_so(&table) {
                return;
            }
            assert!(now() < deadline, "not in a minute: {what}; there is {table:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until a node is in its table and has answered it.
    pub async fn live(&self, id: NodeId) {
        let is = |entry: &EntryInfo| entry.node.id() == id && entry.is_verified();
        self.table_when(&format!("{id:#} is live"), |table| table.iter().any(is)).await;
    }

    /// Ends it, and starts it again with the same key, at the same address: it has forgotten all
    /// its sessions.
    ///
    /// # Panics
    /// When that fails.
    pub async fn restart(self) -> Self {
        let (key, address, config) = (self.key.clone(), self.address, self.config.clone());
        self.stop().await;
        Self::start_with(key, address, config).await
    }

    /// Ends it, and waits until its socket is closed.
    ///
    /// # Panics
    /// When it ends with an error.
    pub async fn stop(self) {
        self.handle.close().await;
        self.driver.await.expect("the driver does not panic").expect("the socket works");
        self.echo.await.expect("the echo does not panic");
    }
}
