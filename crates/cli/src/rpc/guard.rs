//! Who may call over HTTP: what a browser tells of the page that has it call.

use std::collections::BTreeSet;

use hyper::{HeaderMap, Uri, header};

/// The names by which this machine may be called, and the sites whose pages may call it.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    hosts: BTreeSet<String>,
    origins: Vec<Origin>,
    any_origin: bool,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A name in the header Host that is not served: a page may have had its own name rebound to
    /// this machine.
    Host,
    /// A page of a site that may not call.
    Origin,
}

impl Guard {
    pub(crate) fn new(hosts: &[String], origins: &[String]) -> Self {
        Self {
            hosts: hosts.iter().map(|host| host.trim().to_lowercase()).collect(),
            origins: origins.iter().map(|origin| Origin::parse(origin.trim())).collect(),
            any_origin: origins.iter().any(|origin| origin.trim() == "*"),
        }
    }

    /// The origin of the request, if it has one and may call.
    pub(crate) fn check<'a>(
        &self,
        uri: &Uri,
        headers: &'a HeaderMap,
    ) -> Result<Option<&'a str>, Refusal> {
        let text = |name| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (None, _) => Ok(None),
                (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
                // Which of the two another program would read cannot be known.
                (Some(_), Some(_)) => Err(()),
            }
        };
        let host = text(header::HOST).map_err(|()| Refusal::Host)?;
        let target = uri.authority().map(|authority| authority.as_str());
        if ![host, target].into_iter().flatten().all(|host| self.serves(host)) {
            return Err(Refusal::Host);
        }
        let origin = text(header::ORIGIN).map_err(|()| Refusal::Origin)?;
        match origin {
            Some(origin) if !self.any_origin && !self.allows(origin) => Err(Refusal::Origin),
            origin => Ok(origin),
        }
    }

    fn serves(&self, authority: &str) -> bool {
        let (host, _) = split_port(authority);
        let is_address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        // As in geth: what is reached by its address was not rebound.
        is_address || self.hosts.contains("*") || self.hosts.contains(&host.to_lowercase())
    }

    fn allows(&self, origin: &str) -> bool {
        let origin = Origin::parse(origin);
        self.origins.iter().any(|allowed| allowed.covers(&origin))
    }
}

/// A site: `https://example.org:8080`, of which an allowed one may leave out the scheme or the port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: Option<String>,
    host: String,
    port: Option<String>,
}

impl Origin {
    fn parse(text: &str) -> Self {
        let text = text.to_lowercase();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_owned()), rest),
            None => (None, text.as_str()),
        };
        let (host, port) = split_port(rest);
        Self { scheme, host: host.to_owned(), port: port.map(str::to_owned) }
    }

    fn covers(&self, other: &Self) -> bool {
        self.host == other.host
            && (self.scheme.is_none() || self.scheme == other.scheme)
            && (self.port.is_none() || self.port == other.port)
    }
}

/// The host and the port of an authority.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets, or there is no port.
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &Guard, headers: &[(&'static str, &'static str)]) -> Result<bool, Refusal> {
        let mut map = HeaderMap::new();
        for &(name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        guard.check(&Uri::from_static("/"), &map).map(|origin| origin.is_some())
    }

    fn guard(hosts: &[&str], origins: &[&str]) -> Guard {
        let own = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        Guard::new(&own(hosts), &own(origins))
    }

    #[test]
    fn only_the_names_that_are_served_and_addresses() {
        let ours = guard(&["localhost", "Node.example"], &[]);
        for good in
            ["localhost", "LOCALHOST:8545", "127.0.0.1:1", "[::1]:8545", "::1", "node.example"]
        {
            assert_eq!(check(&ours, &[("host", good)]), Ok(false), "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example:8545", "127.0.0.1.evil.example", ""] {
            assert_eq!(check(&ours, &[("host", bad)]), Err(Refusal::Host), "{bad}");
        }
        assert_eq!(check(&ours, &[]), Ok(false));
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(check(&ours, &two), Err(Refusal::Host));
        let absolute = Uri::from_static("http://evil.example/");
        assert_eq!(ours.check(&absolute, &HeaderMap::new()), Err(Refusal::Host));
        assert_eq!(check(&guard(&["*"], &[]), &[("host", "evil.example")]), Ok(false));
    }

    #[test]
    fn only_pages_of_the_sites_that_are_allowed() {
        let none = guard(&["localhost"], &[]);
        for origin in ["http://localhost", "http://evil.example", "null", "file://"] {
            let refused = check(&none, &[("host", "localhost"), ("origin", origin)]);
            assert_eq!(refused, Err(Refusal::Origin), "{origin}");
        }
        let some = guard(&[], &["https://a.example", "b.example:81", "c.example"]);
        for (origin, allowed) in [
            ("https://a.example", true),
            ("https://A.example:444", true),
            ("http://a.example", false),
            ("http://b.example:81", true),
            ("http://b.example", false),
            ("http://c.example:9", true),
            ("http://c.example.evil", false),
            ("null", false),
        ] {
            assert_eq!(check(&some, &[("origin", origin)]).is_ok(), allowed, "{origin}");
        }
        assert_eq!(check(&guard(&[], &["*"]), &[("origin", "http://evil.example")]), Ok(true));
    }
}
