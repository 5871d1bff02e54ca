//! The flags of the RPC.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Options, Site};

/// The flags of RPC, with geth's names. What is not told is `None`, so that other sources of options
/// can tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct RpcArgs {
    /// Answer JSON-RPC over HTTP
    #[arg(long = "http", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    pub(crate) http: Option<bool>,
    /// The address for HTTP, 127.0.0.1 unless told: whoever can reach it can use what --http.api has
    #[arg(long = "http.addr", value_name = "IP", value_parser = parse_ip)]
    pub(crate) http_addr: Option<IpAddr>,
    /// The port for HTTP, 8545 unless told; 0 takes a free one
    #[arg(long = "http.port", value_name = "PORT")]
    pub(crate) http_port: Option<u16>,
    /// What can be called over HTTP: of admin, debug, net and web3, net and web3 unless told
    #[arg(long = "http.api", value_name = "API,..", value_delimiter = ',')]
    pub(crate) http_api: Option<Vec<String>>,
    /// The names by which a client may call this machine, over HTTP and WebSocket, localhost unless
    /// told; * for any. Addresses are always allowed
    #[arg(long = "http.vhosts", value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) http_vhosts: Option<Vec<String>>,
    /// The sites of which pages may call over HTTP, none unless told; * for any
    #[arg(long = "http.corsdomain", value_name = "ORIGIN,..", value_delimiter = ',')]
    pub(crate) http_corsdomain: Option<Vec<String>>,
    /// Answer JSON-RPC over WebSocket
    #[arg(long = "ws", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    pub(crate) ws: Option<bool>,
    /// The address for WebSocket, 127.0.0.1 unless told
    #[arg(long = "ws.addr", value_name = "IP", value_parser = parse_ip)]
    pub(crate) ws_addr: Option<IpAddr>,
    /// The port for WebSocket, 8546 unless told; it may be that of HTTP
    #[arg(long = "ws.port", value_name = "PORT")]
    pub(crate) ws_port: Option<u16>,
    /// What can be called over WebSocket, as with --http.api
    #[arg(long = "ws.api", value_name = "API,..", value_delimiter = ',')]
    pub(crate) ws_api: Option<Vec<String>>,
    /// The sites of which pages may call over WebSocket, none unless told; * for any
    #[arg(long = "ws.origins", value_name = "ORIGIN,..", value_delimiter = ',')]
    pub(crate) ws_origins: Option<Vec<String>>,
    /// Have a Unix socket for JSON-RPC where there is a path for it, which is so unless told
    #[arg(long = "ipc", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", conflicts_with = "ipcdisable")]
    pub(crate) ipc: Option<bool>,
    /// The Unix socket for JSON-RPC of all APIs, for this user alone; devp2p.ipc in --datadir unless
    /// told. A name without a slash is one in --datadir
    #[arg(long = "ipcpath", value_name = "FILE")]
    pub(crate) ipcpath: Option<PathBuf>,
    /// Have no Unix socket
    #[arg(long = "ipcdisable", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    pub(crate) ipcdisable: Option<bool>,
}

/// The socket in the folder of a node, unless another is told.
pub(crate) const IPC_FILE: &str = "devp2p.ipc";

/// geth's port for HTTP.
const HTTP_PORT: u16 = 8545;

/// geth's port for WebSocket.
const WS_PORT: u16 = 8546;

impl RpcArgs {
    /// Sets what `over` tells.
    pub(crate) fn merge(&mut self, over: Self) {
        put(&mut self.http, over.http);
        put(&mut self.http_addr, over.http_addr);
        put(&mut self.http_port, over.http_port);
        put(&mut self.http_api, over.http_api);
        put(&mut self.http_vhosts, over.http_vhosts);
        put(&mut self.http_corsdomain, over.http_corsdomain);
        put(&mut self.ws, over.ws);
        put(&mut self.ws_addr, over.ws_addr);
        put(&mut self.ws_port, over.ws_port);
        put(&mut self.ws_api, over.ws_api);
        put(&mut self.ws_origins, over.ws_origins);
        // Who tells where the socket is wants one, whatever was told before.
        if over.ipcpath.is_some() {
            self.ipcdisable = None;
        }
        put(&mut self.ipcpath, over.ipcpath);
        put(&mut self.ipcdisable, over.ipc.map(|is_on| !is_on));
        put(&mut self.ipcdisable, over.ipcdisable);
    }

    /// Where to answer what, for a node with this folder. HTTP and WebSocket only if they were asked
    /// for; the Unix socket wherever there is a path for it.
    pub(crate) fn options(&self, datadir: Option<&Path>) -> Options {
        let site = |ip: Option<IpAddr>, port, apis: &Option<_>, origins: &Option<_>| {
            let default = Site::on_loopback(port);
            Site {
                addr: SocketAddr::new(ip.unwrap_or_else(|| default.addr.ip()), port),
                apis: apis.clone().unwrap_or(default.apis),
                hosts: self.http_vhosts.clone().unwrap_or(default.hosts),
                origins: origins.clone().unwrap_or(default.origins),
            }
        };
        let http = || {
            let port = self.http_port.unwrap_or(HTTP_PORT);
            site(self.http_addr, port, &self.http_api, &self.http_corsdomain)
        };
        let ws = || {
            let port = self.ws_port.unwrap_or(WS_PORT);
            site(self.ws_addr, port, &self.ws_api, &self.ws_origins)
        };
        Options {
            http: self.http.unwrap_or(false).then(http),
            ws: self.ws.unwrap_or(false).then(ws),
            ipc: self.ipc(datadir),
        }
    }

    fn ipc(&self, datadir: Option<&Path>) -> Option<PathBuf> {
        let is_off = self.ipcdisable.unwrap_or(false) || cfg!(not(unix));
        match (&self.ipcpath, datadir) {
            _ if is_off => None,
            (Some(path), Some(datadir)) if path.parent() == Some(Path::new("")) => {
                Some(datadir.join(path))
            }
            (Some(path), _) => Some(path.clone()),
            (None, datadir) => datadir.map(|datadir| datadir.join(IPC_FILE)),
        }
    }
}

fn put<T>(field: &mut Option<T>, told: Option<T>) {
    if told.is_some() {
        *field = told;
    }
}

/// An address to listen on. `localhost`, which geth has in its files, is the one that every machine
/// has.
fn parse_ip(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        text => text.parse().map_err(|_| "wants an IP address".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        rpc: RpcArgs,
    }

    fn args(line: &str) -> RpcArgs {
        Program::try_parse_from(line.split(' ')).unwrap().rpc
    }

    #[test]
    fn nothing_is_open_to_the_network_unless_it_is_told() {
        assert_eq!(args("devp2p").options(None), Options::default());
        let options = args("devp2p --http --ws").options(None);
        for (site, port) in [(options.http.unwrap(), 8545), (options.ws.unwrap(), 8546)] {
            assert_eq!(site, Site::on_loopback(port));
            assert!(site.addr.ip().is_loopback());
            assert_eq!(site.apis, ["net", "web3"]);
            assert_eq!(site.hosts, ["localhost"]);
            assert!(site.origins.is_empty());
        }
        let options = args(
            "devp2p --http --http.addr 0.0.0.0 --http.port 7 --http.api admin,net --http.vhosts a,b \
             --http.corsdomain http://c --ws=false --ws.port 8",
        );
        let site = options.options(None).http.unwrap();
        assert_eq!(site.addr.to_string(), "0.0.0.0:7");
        assert_eq!(site.apis, ["admin", "net"]);
        assert_eq!(site.hosts, ["a", "b"]);
        assert_eq!(site.origins, ["http://c"]);
        assert_eq!(options.options(None).ws, None);
        let local = args("devp2p --http --http.addr localhost").options(None);
        assert_eq!(local.http, Some(Site::on_loopback(8545)));
        assert!(Program::try_parse_from(["devp2p", "--http.addr", "example.org"]).is_err());
    }

    #[test]
    fn the_socket_is_in_the_folder_of_the_node() {
        let ipc = |line, datadir: Option<&str>| {
            let path = args(line).options(datadir.map(Path::new)).ipc;
            path.map(|path| path.to_str().unwrap().to_owned())
        };
        assert_eq!(ipc("devp2p", Some("/d")).as_deref(), Some("/d/devp2p.ipc"));
        assert_eq!(ipc("devp2p --ipcpath x", Some("/d")).as_deref(), Some("/d/x"));
        assert_eq!(ipc("devp2p --ipcpath ./x", Some("/d")).as_deref(), Some("./x"));
        assert_eq!(ipc("devp2p --ipcpath x", None).as_deref(), Some("x"));
        assert_eq!(ipc("devp2p --ipcpath x --ipcdisable", Some("/d")), None);
    }

    #[test]
    fn a_later_source_tells_what_it_tells_and_no_more() {
        let mut told = args("devp2p --http --http.port 1 --ws.api net");
        told.merge(args("devp2p --http.port 2 --ipcdisable"));
        assert_eq!(told, args("devp2p --http --http.port 2 --ws.api net --ipcdisable"));
    }
}
