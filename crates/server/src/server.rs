//! Putting a server together, and starting it.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use devp2p_core::{Node, NodeKey, RecordError, Rng};
use devp2p_dial::Scheduler;
use devp2p_peer::{Protocol, Subprotocol};
use tokio::sync::broadcast;
use tracing::{info, warn};

#[cfg(feature = "metrics")]
use crate::metrics::Metrics;
#[cfg(any(feature = "discv4", feature = "discv5"))]
use crate::search::Search;
use crate::{
    BaseProtocol, Config, ConfigError, Core, DialScheduler, Dialer, Discovery, Event, Events,
    FairMix, Handle, Listener, MappedSocket, MemoryNodeDb, Multiplexer, NodeDb, NodeDbError,
    PeerInfo, PortMapper, Remembered, SocketRole, TcpDialer, Transport,
    base_protocol::MessageHook,
    discovery::Candidates,
    filter::Filtering,
    local::{Addresses, local_record},
    node_db,
    probe::Probe,
    runtime::{self, OwnRecord, PeerHook, Seams, Shared},
    sockets::Sockets,
};

/// A server that has not been started: options, and the parts that take the place of the
/// default ones.
#[must_use = "a server does nothing until it is started"]
pub struct Builder {
    /// Boxed: with the options of every layer it is large, and futures hold builders.
    config: Box<Config>,
    listener: Option<Box<dyn Listener>>,
    transport: Option<Arc<dyn Transport>>,
    multiplexer: Option<Arc<dyn Multiplexer>>,
    scheduler: Option<Box<dyn DialScheduler>>,
    discovery: Option<Box<dyn Discovery>>,
    node_db: Option<Arc<dyn NodeDb>>,
    port_mapper: Option<Box<dyn PortMapper>>,
    on_peer: Option<PeerHook>,
    #[cfg(feature = "metrics")]
    recorder: Option<Arc<dyn crate::metrics::Recorder + Send + Sync>>,
}

impl Builder {
    fn new(config: Config) -> Self {
        Self {
            config: Box::new(config),
            listener: None,
            transport: None,
            multiplexer: None,
            scheduler: None,
            discovery: None,
            node_db: None,
            port_mapper: None,
            on_peer: None,
            #[cfg(feature = "metrics")]
            recorder: None,
        }
    }

    /// Changes any option.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Adds a subprotocol.
    pub fn protocol(self, subprotocol: impl Subprotocol) -> Self {
        self.configure(|config| config.protocols.push(Protocol::new(subprotocol)))
    }

    /// Adds a static node.
    pub fn static_node(self, node: Node) -> Self {
        self.configure(|config| config.static_nodes.push(node))
    }

    /// Adds a trusted node.
    pub fn trusted_node(self, node: Node) -> Self {
        self.configure(|config| config.trusted_nodes.push(node))
    }

    /// Sets how many peers may be connected.
    pub fn max_peers(self, max_peers: usize) -> Self {
        self.configure(|config| config.max_peers = max_peers)
    }

    /// Sets the address to listen on; port 0 takes a free one, `None` does not listen.
    pub fn listen_addr(self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.configure(|config| config.listen_addr = address.into())
    }

    /// Sets the client's name.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.configure(|config| config.name = name.into())
    }

    /// Opens connections with `dialer` in place of TCP.
    pub fn dialer(self, dialer: impl Dialer) -> Self {
        self.configure(|config| config.dialer = Some(Arc::new(dialer)))
    }

    /// Accepts connections from `listener`; `listen_addr` is not used then, and discovery runs only
    /// where `disc_addr` is set.
    pub fn listener(mut self, listener: impl Listener) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Secures connections with `transport` in place of RLPx.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Runs subprotocols with `multiplexer` in place of the base protocol of devp2p.
    pub fn multiplexer(mut self, multiplexer: impl Multiplexer) -> Self {
        self.multiplexer = Some(Arc::new(multiplexer));
        self
    }

    /// Decides whom to dial with `scheduler`. Static nodes, limits and `no_dial` are its own
    /// affair then.
    pub fn scheduler(mut self, scheduler: impl DialScheduler) -> Self {
        self.scheduler = Some(Box::new(scheduler));
        self
    }

    /// Takes candidates from `discovery` too, beside those that discovery v4 finds and the
    /// subprotocols know.
    pub fn discovery(mut self, discovery: impl Discovery) -> Self {
        self.discovery = Some(Box::new(discovery));
        self
    }

    /// Remembers in `node_db` what is to survive a restart. By default it is forgotten.
    pub fn node_db(mut self, node_db: impl NodeDb) -> Self {
        self.node_db = Some(Arc::new(node_db));
        self
    }

    /// Gets the server's sockets through a NAT with `port_mapper`, in place of what the option `nat`
    /// says.
    pub fn port_mapper(mut self, port_mapper: impl PortMapper) -> Self {
        self.port_mapper = Some(Box::new(port_mapper));
        self
    }

    /// Calls `hook` with every new peer, before its `add` event and its subprotocols. The hook
    /// must return at once; the server's other methods may be called in it.
    pub fn on_peer(mut self, hook: impl Fn(&PeerInfo) + Send + Sync + 'static) -> Self {
        self.on_peer = Some(Box::new(hook));
        self
    }

    /// Tells `recorder` of what happens, by the names in [`NAMES`](crate::metrics::NAMES). It is for
    /// this server alone: what two servers told one recorder could not be told apart.
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self, recorder: Arc<dyn crate::metrics::Recorder + Send + Sync>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    /// What [`Config::validate`] finds.
    pub fn build(self) -> Result<Server, ConfigError> {
        for warning in self.config.check(self.listener.is_some())? {
            warn!("{warning}");
        }
        Ok(Server { builder: self, events: runtime::event_channel() })
    }

    /// [`build`](Builder::build) and [`start`](Server::start).
    ///
    /// # Errors
    /// Those of both.
    pub async fn start(self) -> Result<Handle, StartError> {
        self.build().map_err(StartError::Config)?.start().await
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("name", &self.config.name).finish_non_exhaustive()
    }
}

/// A server with valid options, not started. Starting takes it: a server that was stopped cannot
/// be started again.
#[must_use = "a server does nothing until it is started"]
#[derive(Debug)]
pub struct Server {
    builder: Builder,
    events: broadcast::Sender<Event>,
}

impl Server {
    /// A server for the node with this key, with geth's defaults and no subprotocols.
    pub fn builder(key: NodeKey) -> Builder {
        Builder::new(Config::new(key))
    }

    /// A server with these options and the default parts.
    ///
    /// # Errors
    /// What [`Config::validate`] finds.
    pub fn from_config(config: Config) -> Result<Self, ConfigError> {
        Builder::new(config).build()
    }

    /// The events of the server from its start on: what happens before
    /// [`Handle::events`] can be called is in here too.
    pub fn events(&self) -> Events {
        Events::new(self.events.subscribe())
    }

    /// Starts, in this order: what is remembered is read, then it listens for TCP, then for UDP,
    /// then it dials. Must be called in a tokio runtime.
    ///
    /// Not cancel-safe in the sense that a start that is dropped has no effect, but it leaves
    /// nothing behind either: what it opened is closed again, as after an error.
    ///
    /// # Errors
    /// When an address is taken, the node database cannot be opened, or the operating system
    /// gives no entropy.
    pub async fn start(mut self) -> Result<Handle, StartError> {
        info!("Starting P2P networking");
        let key = self.builder.config.private_key.clone();
        let key = key.ok_or(StartError::Missing("private_key"))?;
        let node_db = self.builder.node_db.take().unwrap_or_else(|| Arc::new(MemoryNodeDb::new()));
        let opening = node_db.open(key.id(), runtime::unix().as_secs());
        let remembered = opening.await.map_err(StartError::NodeDb)?;
        let started = self.start_on(key, Arc::clone(&node_db), remembered);
        if started.is_err() {
            node_db::close(node_db.as_ref()).await;
        }
        started
    }

    fn start_on(
        self,
        key: NodeKey,
        node_db: Arc<dyn NodeDb>,
        remembered: Remembered,
    ) -> Result<Handle, StartError> {
        let Builder {
            config,
            listener,
            transport,
            multiplexer,
            scheduler,
            discovery,
            node_db: _,
            port_mapper,
            on_peer,
            #[cfg(feature = "metrics")]
            recorder,
        } = self.builder;
        let events = self.events;
        let mut rng = match config.seed {
            Some(seed) => Rng::from_seed(seed),
            None => Rng::from_os().map_err(StartError::Entropy)?,
        };

        // What accepts connections in place of TCP has no port that a gateway knows of.
        let has_own_listener = listener.is_some();
        let sockets = Sockets::open(&config, listener)?;
        // Discovery v5 finds nodes by their records, v4 by what they say in its packets.
        let udp = sockets.disc_v5_addr.or(sockets.disc_addr);
        let addresses = Addresses { tcp: sockets.listen_addr, udp };
        let millis = u64::try_from(runtime::unix().as_millis()).unwrap_or(0);
        let record = local_record(&key, remembered.seq, addresses, &config.protocols, millis)
            .map_err(StartError::Record)?;
        let record = Arc::new(OwnRecord::new(record, Arc::clone(&node_db)));
        let transport = match transport {
            Some(transport) => transport,
            None => default_transport(&key, &config)?,
        };
        let multiplexer = multiplexer.unwrap_or_else(|| {
            let on_message: Option<MessageHook> = config.enable_msg_events.then(|| {
                let events = events.downgrade();
                let hook: MessageHook = Arc::new(move |id, message| {
                    if let Some(events) = events.upgrade() {
                        // An error says that nobody listens.
                        let _ = events.send(runtime::message_event(id, message));
                    }
                });
                hook
            });
            let hello = config.hello(&key, sockets.listen_addr);
            let mut peer = config.peer.clone();
            peer.seed = peer.seed.or(config.seed);
            Arc::new(BaseProtocol::new(hello, config.protocols.clone(), peer, on_message))
        });
        let dialer = config.dialer.clone().unwrap_or_else(|| Arc::new(TcpDialer::default()));
        let sources = candidates(discovery, &config);
        #[cfg(feature = "dnsdisc")]
        let dns = {
            let searches = sockets.disc_addr.or(sockets.disc_v5_addr).is_some();
            let is_alone = !searches && sources.is_empty();
            crate::DnsNodes::of(&config, is_alone, &mut rng)?
                .map(|lists| (config.shares.dns, Box::new(lists) as Box<dyn Discovery>))
        };
        #[cfg(not(feature = "dnsdisc"))]
        let dns = None;
        #[cfg(any(feature = "discv4", feature = "discv5"))]
        let mut search = {
            let seeds = &remembered.seeds;
            Search::new(sockets.udp, &config, &key, &dialer, &record, seeds, &mut rng)
        };
        #[cfg(any(feature = "discv4", feature = "discv5"))]
        let dns = search.sources(&config.shares, dns);
        let filtered = Arc::<AtomicU64>::default();
        let filtering = config.dial_filter.clone();
        let filtering = filtering.map(|filter| Filtering::new(filter, Arc::clone(&filtered)));
        let sources = sources.into_iter().chain(dns);
        let sources = sources.map(|(share, source)| match &filtering {
            Some(filtering) => (share, filtering.of(source)),
            None => (share, source),
        });
        #[cfg(feature = "metrics")]
        let probe = {
            let metrics = recorder.map(|recorder| Metrics::new(recorder, &config.protocols));
            Probe::new(metrics.map(Arc::new))
        };
        #[cfg(not(feature = "metrics"))]
        let probe = Probe::default();
        let seams = Seams {
            dialer,
            transport,
            multiplexer,
            discovery: Box::new(FairMix::with_shares(sources)),
            protocols: config.protocols.clone(),
            filtered,
            on_peer,
            node_db,
            probe,
            #[cfg(feature = "discv4")]
            discv4: search.discv4.clone(),
            #[cfg(feature = "discv5")]
            discv5: search.discv5.clone(),
        };

        // Nothing fails from here on.
        let now = runtime::now();
        let mut anchors = remembered.anchors;
        anchors.retain(|node| filtering.as_ref().is_none_or(|filtering| filtering.accepts(node)));
        let core_config = config.core(&key, anchors.clone());
        let scheduler = scheduler.unwrap_or_else(|| {
            let dial = config.dial(&key, anchors);
            Box::new(Scheduler::new(dial, rng.seed(), now))
        });
        let mut core = Core::new(core_config, scheduler, rng.seed());
        core.restore_bans(now, runtime::unix().as_secs(), remembered.bans);
        let shared = Shared::new(core, record, seams, events, config.setup_timeout);
        let info = crate::handle::Static {
            id: key.id(),
            name: config.name.clone(),
            listen_addr: sockets.listen_addr,
            disc_addr: sockets.disc_addr,
            disc_v5_addr: sockets.disc_v5_addr,
        };
        let handle = Handle::new(Arc::clone(&shared), info);
        if let Some(mapper) = port_mapper.or_else(|| default_port_mapper(&config)) {
            let listener = sockets.listen_addr.filter(|_| !has_own_listener);
            let mapped = [
                (SocketRole::Listener, listener),
                (SocketRole::Discovery, sockets.disc_addr),
                (SocketRole::DiscoveryV5, sockets.disc_v5_addr),
            ];
            let mapped = mapped.into_iter();
            let mapped = mapped.filter_map(|(role, addr)| Some(MappedSocket::new(role, addr?)));
            shared.spawn(runtime::map_ports(Arc::clone(&shared), mapper, mapped.collect()));
        }
        if let Some(listener) = sockets.listener {
            info!(self = %handle.node_info().enode, "RLPx listener up");
            shared.is_listening.store(true, Ordering::Relaxed);
            shared.tasks.spawn(runtime::listen(Arc::clone(&shared), listener));
        }
        #[cfg(feature = "discv4")]
        if search.discv4.is_some() {
            info!(self = %handle.node_info().enode, "Discovery v4 up");
        }
        #[cfg(feature = "discv5")]
        if search.discv5.is_some() {
            info!(self = %handle.node_info().enr, "Discovery v5 up");
        }
        #[cfg(any(feature = "discv4", feature = "discv5"))]
        search.run(&shared);
        shared.probe.run(&shared);
        tokio::spawn(runtime::run(shared));
        Ok(handle)
    }
}

/// The source of the builder, and what the subprotocols know.
fn candidates(
    discovery: Option<Box<dyn Discovery>>,
    config: &Config,
) -> Vec<(u32, Box<dyn Discovery>)> {
    let custom = discovery.map(|source| (config.shares.custom, source));
    let known = config.protocols.iter().filter_map(Protocol::candidates);
    let known = known.map(|known| Box::new(Candidates(known)) as Box<dyn Discovery>);
    let known = known.map(|source| (config.shares.subprotocols, source));
    custom.into_iter().chain(known).collect()
}

#[cfg(feature = "rlpx")]
#[expect(clippy::unnecessary_wraps, reason = "fails without the feature")]
fn default_transport(key: &NodeKey, config: &Config) -> Result<Arc<dyn Transport>, StartError> {
    Ok(Arc::new(crate::RlpxTransport::new(key.clone(), config.rlpx.clone())))
}

#[cfg(not(feature = "rlpx"))]
fn default_transport(_: &NodeKey, _: &Config) -> Result<Arc<dyn Transport>, StartError> {
    Err(StartError::Missing("a transport, without the feature `rlpx`"))
}

#[cfg(feature = "nat")]
fn default_port_mapper(config: &Config) -> Option<Box<dyn PortMapper>> {
    let nat = config.nat.clone();
    (nat != devp2p_nat::Nat::None)
        .then(|| Box::new(crate::NatMapper::new(nat, config.port_mapping.clone())) as _)
}

#[cfg(not(feature = "nat"))]
const fn default_port_mapper(_: &Config) -> Option<Box<dyn PortMapper>> {
    None
}

/// Why a server did not start. What the start had done is undone.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The options cannot work.
    Config(ConfigError),
    /// The operating system gave no entropy.
    Entropy(getrandom::Error),
    /// The listener cannot tell its address.
    Io(io::Error),
    /// The address cannot be listened on.
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        error: io::Error,
    },
    /// Discovery cannot listen on the UDP address.
    ListenUdp {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        error: io::Error,
    },
    /// A part that has no default here.
    Missing(&'static str),
    /// The node database cannot be opened, for instance because another process has it. (One that
    /// is damaged is no error: it starts anew.)
    NodeDb(NodeDbError),
    /// The node's record cannot be made.
    Record(RecordError),
    /// There are lists in DNS, and the name servers of the system are not known.
    #[cfg(feature = "hickory")]
    Resolver(devp2p_dnsdisc::HickoryError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Entropy(error) => write!(f, "the operating system gave no entropy: {error}"),
            Self::Io(error) => write!(f, "the listener has no address: {error}"),
            Self::Listen { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::ListenUdp { address, error } => {
                write!(f, "cannot listen on {address} for UDP: {error}")
            }
            Self::Missing(what) => write!(f, "{what} must be set"),
            Self::NodeDb(error) => error.fmt(f),
            Self::Record(error) => write!(f, "the node's record cannot be made: {error}"),
            #[cfg(feature = "hickory")]
            Self::Resolver(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Io(error) | Self::Listen { error, .. } | Self::ListenUdp { error, .. } => {
                Some(error)
            }
            Self::NodeDb(error) => Some(error),
            Self::Record(error) => Some(error),
            #[cfg(feature = "hickory")]
            Self::Resolver(error) => Some(error),
            Self::Entropy(_) | Self::Missing(_) => None,
        }
    }
}
