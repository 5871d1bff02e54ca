use std::fmt;

use devp2p_server::{ParseSocks5Error, Socks5Dialer};

/// A SOCKS5 proxy, as it was told: there may be a login in it, so it is printed without.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy(String);

impl Proxy {
    /// What was told, whatever it is: who reads flags and variables prints what he cannot read, and
    /// would print the login.
    pub(crate) fn told(text: &str) -> Result<Self, std::convert::Infallible> {
        Ok(Self(text.to_owned()))
    }

    /// What is told in a file.
    pub(crate) fn checked(text: &str) -> Result<Self, ParseSocks5Error> {
        text.parse::<Socks5Dialer>().map(|_| Self(text.to_owned()))
    }

    /// What dials through it.
    pub(crate) fn dialer(&self) -> Result<Socks5Dialer, ParseSocks5Error> {
        self.0.parse()
    }
}

/// Without the login.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.rsplit_once('@') {
            Some((_, place)) => write!(f, "socks5://{place}"),
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy").field(&self.to_string()).finish()
    }
}
