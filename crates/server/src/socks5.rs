//! Dials through a SOCKS5 proxy.

mod error;
mod wire;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use devp2p_core::{Host, Node};
use futures::future::{BoxFuture, ready};
use tokio::{net::TcpStream, time::timeout};
use tracing::warn;

pub use self::error::{ParseSocks5Error, Socks5Error, Socks5Refusal};
use self::wire::{Login, Target, handshake};
use crate::{DIAL_TIMEOUT, Dialer, Io};

/// Dials through a SOCKS5 proxy (RFC 1928), with a user name and a password if it wants them (RFC
/// 1929).
///
/// Names are left to the proxy: nobody else is asked for them, and static nodes that have a name
/// are dialed by it. Each address of a node is tried in turn, all of them within one deadline that
/// they share in equal parts.
///
/// Only what is dialed goes through the proxy. Discovery (UDP) and lists in DNS do not, and who
/// listens is dialed as ever: where nobody is to learn the node's own address, set `no_discovery`,
/// no `listen_addr` and no lists. The proxy is trusted with who is dialed and when; it can keep
/// connections from us, and see how much they say, but not what, which RLPx encrypts.
///
/// As text it is `socks5://[USER:PASSWORD@]HOST[:PORT]`, with `%XX` for what has no other place in
/// a URL, and the port 1080 by default; `socks5h://` means the same. Printed, the login is left
/// out.
///
/// An error of a dial has a [`Socks5Error`] inside.
///
/// ```
/// # use devp2p_server::Socks5Dialer;
/// let tor: Socks5Dialer = "socks5://127.0.0.1:9050".parse()?;
/// assert_eq!(tor.to_string(), "socks5://127.0.0.1:9050");
/// let office: Socks5Dialer = "socks5://alice:p%40ss@proxy.example.org".parse()?;
/// assert_eq!(office.to_string(), "socks5://proxy.example.org:1080");
/// # Ok::<(), devp2p_server::ParseSocks5Error>(())
/// ```
#[derive(Clone)]
pub struct Socks5Dialer {
    proxy: Host,
    port: u16,
    login: Option<Login>,
    timeout: Duration,
    /// Whether it was logged that the proxy is of no use.
    is_broken: Arc<AtomicBool>,
}

/// The port of SOCKS (IANA).
const DEFAULT_PORT: u16 = 1080;

impl Socks5Dialer {
    /// Dials through the proxy at this host and port; a name is looked up for each dial.
    pub fn new(proxy: Host, port: u16) -> Self {
        Self { proxy, port, login: None, timeout: DIAL_TIMEOUT, is_broken: Arc::default() }
    }

    /// With this user name and password, each of 1 to 255 bytes.
    ///
    /// # Errors
    /// [`ParseSocks5Error::Login`] where one is shorter or longer.
    pub fn with_login(
        mut self,
        user: impl AsRef<[u8]>,
        password: impl AsRef<[u8]>,
    ) -> Result<Self, ParseSocks5Error> {
        let login = Login::new(user.as_ref(), password.as_ref());
        self.login = Some(login.ok_or(ParseSocks5Error::Login)?);
        Ok(self)
    }

    /// With so much time for a node, the way to the proxy included, in place of
    /// [`DIAL_TIMEOUT`].
    #[must_use]
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn open(&self, target: &Target) -> Result<TcpStream, Socks5Error> {
        let connected = match &self.proxy {
            Host::Ip(ip) => TcpStream::connect((*ip, self.port)).await,
            Host::Dns(name) => TcpStream::connect((name.as_str(), self.port)).await,
        };
        let mut stream = connected.map_err(Socks5Error::Unreachable)?;
        // What is written in whole messages needs no delay. One that is broken shows it soon.
        let _ = stream.set_nodelay(true);
        handshake(&mut stream, target, self.login.as_ref()).await?;
        Ok(stream)
    }

    /// Tells once that the proxy is of no use, until it is again.
    fn note(&self, broken: Option<&Socks5Error>) {
        if self.is_broken.swap(broken.is_some(), Ordering::Relaxed) {
            return;
        }
        if let Some(error) = broken {
            warn!(proxy = %self, err = %error, "The SOCKS5 proxy is of no use");
        }
    }
}

impl Dialer for Socks5Dialer {
    fn dial(&self, node: &Node) -> BoxFuture<'static, io::Result<Io>> {
        let (dialer, targets) = (self.clone(), targets(node));
        Box::pin(async move {
            let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
            let share = dialer.timeout / u32::try_from(targets.len()).unwrap_or(1).max(1);
            for target in targets {
                match timeout(share, dialer.open(&target)).await {
                    Ok(Ok(stream)) => {
                        dialer.note(None);
                        // Where the proxy dials from nobody knows here.
                        return Ok(Io::new(stream, None, target.addr()));
                    }
                    Ok(Err(error)) if error.is_of_proxy() => {
                        // It is the same for every address.
                        dialer.note(Some(&error));
                        return Err(error.into());
                    }
                    Ok(Err(error)) => {
                        dialer.note(None);
                        last = error.into();
                    }
                    Err(_) => last = io::ErrorKind::TimedOut.into(),
                }
            }
            Err(last)
        })
    }

    /// Always refuses: names are the proxy's affair.
    fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(ready(Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "names are left to the proxy",
        ))))
    }

    fn dials_names(&self) -> bool {
        true
    }
}

/// What the proxy is asked for.
fn targets(node: &Node) -> Vec<Target> {
    match (node.host(), node.tcp_port()) {
        (Some(Host::Dns(name)), Some(port)) => vec![Target::Name(name.clone(), port)],
        _ => node.tcp_addrs().into_iter().map(Target::Addr).collect(),
    }
}

impl Target {
    const fn addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Addr(addr) => Some(*addr),
            Self::Name(..) => None,
        }
    }
}

impl FromStr for Socks5Dialer {
    type Err = ParseSocks5Error;

    fn from_str(text: &str) -> Result<Self, ParseSocks5Error> {
        let rest = text.strip_prefix("socks5://").or_else(|| text.strip_prefix("socks5h://"));
        let rest = rest.ok_or(ParseSocks5Error::Scheme)?;
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let (host, port) = match place.rsplit_once(':') {
            // A colon within brackets belongs to the address.
            Some((host, port)) if !port.ends_with(']') => {
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|&port: &u16| is_number && port != 0);
                (host, port.ok_or(ParseSocks5Error::Port)?)
            }
            _ => (place, DEFAULT_PORT),
        };
        let dialer = Self::new(host.parse().map_err(|_| ParseSocks5Error::Host)?, port);
        let Some(login) = login else { return Ok(dialer) };
        let (user, password) = login.split_once(':').ok_or(ParseSocks5Error::Login)?;
        let decoded = (percent_decoded(user), percent_decoded(password));
        let (Some(user), Some(password)) = decoded else { return Err(ParseSocks5Error::Login) };
        dialer.with_login(user, password)
    }
}

/// The bytes that the text stands for, `%XX` being one of them (RFC 3986).
fn percent_decoded(text: &str) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    // Never moved: what is moved leaves a copy behind.
    let mut decoded = zeroize::Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()?.checked_mul(16)?.checked_add(digit()?)?).ok()?
            }
            byte => byte,
        };
        decoded.push(byte);
    }
    Some(decoded)
}

impl fmt::Display for Socks5Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socks5://{}:{}", self.proxy, self.port)
    }
}

impl fmt::Debug for Socks5Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socks5Dialer")
            .field("proxy", &format_args!("{self}"))
            .field("login", &self.login.is_some())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy, and the user name and the password.
    fn parsed(text: &str) -> Result<(String, Vec<String>), ParseSocks5Error> {
        let dialer: Socks5Dialer = text.parse()?;
        let login = dialer.login.iter().flat_map(Login::parts);
        let login = login.map(|part| String::from_utf8(part).unwrap());
        Ok((dialer.to_string(), login.collect()))
    }

    #[test]
    fn proxies_as_text() {
        let accepted: [(&str, &str, &[&str]); 8] = [
            ("socks5://127.0.0.1:9050", "socks5://127.0.0.1:9050", &[]),
            ("socks5h://proxy.example", "socks5://proxy.example:1080", &[]),
            ("socks5://[::1]/", "socks5://[::1]:1080", &[]),
            ("socks5://[::1]:9", "socks5://[::1]:9", &[]),
            ("socks5://a:b@h:1", "socks5://h:1", &["a", "b"]),
            ("socks5://a:b:c@h:1", "socks5://h:1", &["a", "b:c"]),
            ("socks5://%61%3a:%40@h:1", "socks5://h:1", &["a:", "@"]),
            ("socks5://a:b@c@h:1", "socks5://h:1", &["a", "b@c"]),
        ];
        for (text, proxy, login) in accepted {
            let login = login.iter().copied().map(ToOwned::to_owned).collect();
            assert_eq!(parsed(text), Ok((proxy.to_owned(), login)), "{text}");
        }
        for (text, error) in [
            ("127.0.0.1:9050", ParseSocks5Error::Scheme),
            ("http://127.0.0.1:9050", ParseSocks5Error::Scheme),
            ("socks5://", ParseSocks5Error::Host),
            ("socks5://:1080", ParseSocks5Error::Host),
            ("socks5://h:1/path", ParseSocks5Error::Port),
            ("socks5://h:0", ParseSocks5Error::Port),
            ("socks5://h:+1", ParseSocks5Error::Port),
            ("socks5://h:65536", ParseSocks5Error::Port),
            ("socks5://h:", ParseSocks5Error::Port),
            ("socks5://alice@h:1", ParseSocks5Error::Login),
            ("socks5://:b@h:1", ParseSocks5Error::Login),
            ("socks5://a:@h:1", ParseSocks5Error::Login),
            ("socks5://a:%4@h:1", ParseSocks5Error::Login),
            ("socks5://a:%4x@h:1", ParseSocks5Error::Login),
            ("socks5://a:%+4@h:1", ParseSocks5Error::Login),
        ] {
            assert_eq!(parsed(text), Err(error), "{text}");
        }
        let long = "x".repeat(256);
        let dialer = || Socks5Dialer::new("h".parse().unwrap(), 1);
        assert!(dialer().with_login(&long, "b").is_err());
        assert!(dialer().with_login("a", &long[1..]).is_ok());
    }

    #[test]
    fn a_login_is_not_shown() {
        let dialer: Socks5Dialer = "socks5://alice:secret@127.0.0.1:9050".parse().unwrap();
        let shown = format!("{dialer} {dialer:?} {dialer:#?}");
        assert!(shown.contains("127.0.0.1:9050"), "{shown}");
        assert!(!shown.contains("alice") && !shown.contains("secret"), "{shown}");
    }
}
