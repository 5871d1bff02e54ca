use std::{fmt, str::FromStr};

use devp2p_server::{ParseSocks5Error, Socks5Dialer};

/// A SOCKS5 proxy, as it was told: with the login, which is not printed but in a configuration.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy(String);

impl Proxy {
    /// What dials through it.
    pub(crate) fn dialer(&self) -> Result<Socks5Dialer, ParseSocks5Error> {
        self.0.parse()
    }
}

impl FromStr for Proxy {
    type Err = ParseSocks5Error;

    fn from_str(text: &str) -> Result<Self, ParseSocks5Error> {
        text.parse::<Socks5Dialer>().map(|_| Self(text.to_owned()))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dialer = self.dialer().map(|dialer| dialer.to_string());
        f.debug_tuple("Proxy").field(&dialer.unwrap_or_default()).finish()
    }
}
