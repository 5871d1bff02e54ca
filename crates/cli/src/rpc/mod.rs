//! JSON-RPC of a node over HTTP, WebSocket and a Unix socket, with geth's methods and shapes.
//!
//! Over HTTP and WebSocket whoever reaches the port may call: by default that is this machine, of
//! which no page in a browser may call, and only what changes nothing. The Unix socket is for this
//! user alone and has everything. Each is bounded: connections, requests, batches, answers,
//! subscriptions, and what waits for a client that does not read.
//!
//! The methods are those of one `jsonrpsee` module. Its server is not used: it takes the calls of a
//! WebSocket in without bound while the answers wait, and knows no Unix sockets.

mod args;
mod bans;
mod calls;
mod dials;
mod events;
pub(crate) mod framing;
pub(crate) mod guard;
mod http;
#[cfg(unix)]
mod ipc;
mod message;
mod methods;
mod node;
mod params;
mod session;
mod table;
#[cfg(test)]
#[cfg(unix)]
mod tests;
mod times;
mod ws;

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use devp2p_server::Handle;
use jsonrpsee::Methods;
use tokio::{net::TcpListener, task::JoinHandle};
use tracing::{info, warn};

pub(crate) use self::args::{IPC_FILE, RpcArgs};
use self::{
    calls::Numbers,
    http::{Door, Web},
};
use crate::failure::Failure;

/// How many clients may be connected at one time in each way; the request of each may be
/// [`MAX_REQUEST`] long. Further ones are refused.
pub(crate) const MAX_CONNECTIONS: usize = 32;

/// The longest request, in bytes: a thousand nodes to add are a third of it.
pub(crate) const MAX_REQUEST: usize = 1024 * 1024;

/// Where RPC is answered. Nowhere by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Over HTTP.
    pub(crate) http: Option<Site>,
    /// Over WebSocket; at the address of HTTP, it shares its port.
    pub(crate) ws: Option<Site>,
    /// The path of the Unix socket, over which everything can be called.
    pub(crate) ipc: Option<PathBuf>,
}

/// What is answered at a TCP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    /// The address to listen on.
    pub(crate) addr: SocketAddr,
    /// The namespaces of the methods that can be called.
    pub(crate) apis: Vec<String>,
    /// The names in the header Host that are served, `*` for all; addresses are in any case.
    pub(crate) hosts: Vec<String>,
    /// The sites whose pages may call, `*` for all.
    pub(crate) origins: Vec<String>,
}

impl Site {
    /// What nothing outside of this machine can reach, with geth's defaults.
    pub(crate) fn on_loopback(port: u16) -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            apis: ["net", "web3"].map(str::to_owned).to_vec(),
            hosts: vec!["localhost".to_owned()],
            origins: Vec::new(),
        }
    }
}

/// The node that is asked.
#[derive(Debug)]
pub(crate) struct Node {
    handle: Handle,
    datadir: Option<PathBuf>,
}

impl Node {
    /// A server that runs, and its folder, if it has one.
    pub(crate) const fn new(handle: Handle, datadir: Option<PathBuf>) -> Self {
        Self { handle, datadir }
    }
}

/// Listens, and answers from then on.
///
/// Must be called in a tokio runtime.
///
/// # Errors
/// Where an address cannot be listened on, or the socket cannot be made.
pub(crate) async fn start(options: Options, node: Node) -> Result<Running, Failure> {
    let node = Arc::new(node);
    let mut running = Running::default();
    let all = methods::all(&node).map_err(Failure::work)?;
    let numbers = Arc::default();
    let Options { http, ws, ipc } = options;
    let door = |flag: &str, site: &Site| -> Result<Door, Failure> {
        let (calls, unknown) = methods::of(&all, &site.apis, &numbers).map_err(Failure::work)?;
        if !unknown.is_empty() {
            // geth's are more, and its files name them.
            warn!("{flag}: there is no API {}", unknown.join(", "));
        }
        if !site.addr.ip().is_loopback() {
            warn!(addr = %site.addr, apis = %site.apis.join(","), "RPC is open to other machines");
        }
        Ok(Door::new(site, calls))
    };
    let is_one = http.as_ref().map(|site| site.addr) == ws.as_ref().map(|site| site.addr);
    if let Some(site) = &http {
        let ws = ws.as_ref().filter(|_| is_one).map(|site| door("--ws.api", site)).transpose()?;
        let has_ws = ws.is_some();
        let web = Web { http: Some(door("--http.api", site)?), ws };
        let addr = running.listen("--http", site.addr, web).await?;
        running.http = Some(addr);
        running.ws = has_ws.then_some(addr);
    }
    if let Some(site) = ws.as_ref().filter(|_| !is_one) {
        let web = Web { http: None, ws: Some(door("--ws.api", site)?) };
        running.ws = Some(running.listen("--ws", site.addr, web).await?);
    }
    if let Some(path) = ipc {
        running.listen_ipc(path, &all, &numbers)?;
    }
    Ok(running)
}

/// RPC that is answered, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Running {
    http: Option<SocketAddr>,
    ws: Option<SocketAddr>,
    ipc: Option<PathBuf>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Where HTTP is really answered.
    pub(crate) const fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where WebSocket is really answered.
    pub(crate) const fn ws(&self) -> Option<SocketAddr> {
        self.ws
    }

    /// Where the Unix socket is.
    pub(crate) const fn ipc(&self) -> Option<&PathBuf> {
        self.ipc.as_ref()
    }

    /// Ends when nothing is answered any more, the ports are free, and the socket is gone.
    pub(crate) async fn stop(mut self) {
        for task in &mut self.tasks {
            task.abort();
            // It was aborted.
            let _ = task.await;
        }
    }

    async fn listen(
        &mut self,
        flag: &str,
        addr: SocketAddr,
        web: Web,
    ) -> Result<SocketAddr, Failure> {
        let failed = |error: io::Error| {
            not_opened(error.kind(), format_args!("{flag}: cannot listen on {addr}: {error}"))
        };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        info!(%addr, "Answering {}", flag.trim_start_matches('-'));
        self.spawn(http::serve(listener, web));
        Ok(addr)
    }

    #[cfg(unix)]
    fn listen_ipc(
        &mut self,
        path: PathBuf,
        all: &Methods,
        numbers: &Arc<Numbers>,
    ) -> Result<(), Failure> {
        let (calls, _) = methods::of(all, &methods::every(all), numbers).map_err(Failure::work)?;
        let listener = ipc::IpcListener::bind(&path).map_err(|error| {
            let why = format_args!("--ipcpath {}: {error}", path.display());
            not_opened(error.kind(), why)
        })?;
        info!(path = %path.display(), "Answering ipc");
        self.spawn(listener.serve(calls));
        self.ipc = Some(path);
        Ok(())
    }

    #[cfg(not(unix))]
    fn listen_ipc(&mut self, _: PathBuf, _: &Methods, _: &Arc<Numbers>) -> Result<(), Failure> {
        Err(Failure::arguments("--ipcpath: there are no Unix sockets on this system"))
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(task));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A taken address may be free the next time; one of another machine is a wrong argument.
fn not_opened(kind: io::ErrorKind, why: fmt::Arguments<'_>) -> Failure {
    match kind {
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Failure::work(why),
        _ => Failure::arguments(why),
    }
}
