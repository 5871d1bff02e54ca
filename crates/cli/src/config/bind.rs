use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
};

/// Where to listen: an address and a port, a port of every IPv4 address as in `:30303`, or nowhere,
/// for which geth's file has an empty text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bind(pub(crate) Option<SocketAddr>);

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |addr| addr.fmt(f))
    }
}

impl FromStr for Bind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let addr = match text.strip_prefix(':') {
            Some(port) => port.parse().map(|port| (Ipv4Addr::UNSPECIFIED, port).into()).ok(),
            None => text.parse().ok(),
        };
        addr.map(|addr| Self(Some(addr))).ok_or("wants IP:PORT, or :PORT for every IPv4 address")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_a_port_or_nowhere() {
        for (text, printed) in [
            ("", ""),
            (":30303", "0.0.0.0:30303"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::]:30303", "[::]:30303"),
        ] {
            assert_eq!(text.parse::<Bind>().unwrap().to_string(), printed);
        }
        for bad in ["127.0.0.1", "localhost:1", ":", ":65536", "30303", "::1"] {
            assert!(bad.parse::<Bind>().is_err(), "{bad}");
        }
    }
}
