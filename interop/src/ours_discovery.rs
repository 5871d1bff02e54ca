use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use devp2p_core::{Family, LocalRecord, Node, NodeId, NodeKey, Record, Rng};
use devp2p_discv4::{Config, Driver, EntryInfo, Event, Events, Handle, Service, Socket};
use tokio::{task::JoinHandle, time::timeout};

use crate::process::{BATCH_PATIENCE, now};

/// How often our table is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Our discovery v4 alone, without a server. It ends when this is dropped.
#[derive(Debug)]
pub struct OurDiscovery {
    /// The way to it.
    pub handle: Handle,
    key: NodeKey,
    local: Arc<Mutex<LocalRecord>>,
    events: Events,
    /// Events that arrived while another was waited for.
    passed: VecDeque<Event>,
    driver: JoinHandle<std::io::Result<()>>,
}

impl OurDiscovery {
    /// Starts one with a fresh key on 127.0.0.1 that knows of these nodes.
    ///
    /// # Panics
    /// When it does not start, as outside of a tokio runtime.
    pub fn start(bootstrap_nodes: &[Node]) -> Self {
        let key = NodeKey::generate().expect("there is entropy");
        Self::start_at(key, (Ipv4Addr::LOCALHOST, 0).into(), bootstrap_nodes)
    }

    /// Starts one with this key at this address. It claims a TCP port of the same number.
    ///
    /// # Panics
    /// When it does not start, as outside of a tokio runtime.
    pub fn start_at(key: NodeKey, address: SocketAddr, bootstrap_nodes: &[Node]) -> Self {
        let socket = Socket::bind(address).expect("the address is free");
        let address = socket.local_addr().expect("a bound socket has an address");
        let mut local = local_record(&key, address);
        local.set_tcp_port(Family::of(address.ip()), Some(address.port()));

        let mut config = Config::default();
        config.bootstrap_nodes = bootstrap_nodes.to_vec();
        let seed = Rng::from_os().expect("there is entropy").seed();
        let local = Arc::new(Mutex::new(local));
        let (service, handle) =
            Service::new(config, key.clone(), Arc::clone(&local), Vec::new(), seed);
        let events = handle.events();
        let driver = tokio::spawn(Driver::new(service, socket));
        Self { handle, key, local, events, passed: VecDeque::new(), driver }
    }

    /// Its key.
    pub const fn key(&self) -> &NodeKey {
        &self.key
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.key.id()
    }

    /// The node, as its record has it.
    pub fn node(&self) -> Node {
        Node::from_record(self.record())
    }

    /// Its record.
    pub fn record(&self) -> Record {
        self.handle.local_record()
    }

    /// Sets an entry of its record to a string of bytes, and gives the new record.
    ///
    /// # Panics
    /// When the entry cannot be set.
    pub fn set_entry(&self, key: &str, value: &[u8]) -> Record {
        set_entry(&self.local, key, value)
    }

    /// Waits until a node has a place in its table.
    pub async fn verified(&mut self, id: NodeId) -> Node {
        self.expect(&format!("{id:#} verified"), |event| match event {
            Event::NodeVerified(node) if node.id() == id => Some(node.clone()),
            _ => None,
        })
        .await
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
            Ok(Some(picked)) => picked,
            Ok(None) => panic!("our discovery ended; expected: {what}"),
            Err(_) => panic!(
                "our discovery did not give within {BATCH_PATIENCE:?}: {what}\n{:?}\n{:#?}",
                self.passed,
                self.handle.statistics().await
            ),
        }
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

    /// Ends it, and waits until its socket is closed.
    ///
    /// # Panics
    /// When it ends with an error.
    pub async fn stop(self) {
        self.handle.close().await;
        self.driver.await.expect("the driver does not panic").expect("the socket works");
    }
}

/// The record of a node at this address.
pub(crate) fn local_record(key: &NodeKey, address: SocketAddr) -> LocalRecord {
    let mut local = LocalRecord::new(key.clone(), None, unix_millis()).expect("the clock is sane");
    local.set_fixed_ip(address.ip());
    local.set_udp_port(Family::of(address.ip()), Some(address.port()));
    local
}

/// Sets an entry of a record to a string of bytes, and gives the new record.
pub(crate) fn set_entry(local: &Mutex<LocalRecord>, key: &str, value: &[u8]) -> Record {
    assert!(value.len() < 56 && value.len() != 1, "a string with a header of one byte");
    let header = 0x80 + u8::try_from(value.len()).expect("it is short");
    let mut local = local.lock().unwrap_or_else(PoisonError::into_inner);
    local.set_entry(key, [&[header], value].concat()).expect("the entry is good");
    local.record().clone()
}

#[expect(clippy::disallowed_methods, reason = "the first number of a record is a clock's")]
fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    since.as_millis().try_into().expect("it is before the year 500,000,000")
}
