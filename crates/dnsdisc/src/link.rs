use std::{fmt, str::FromStr, sync::Arc};

use data_encoding::BASE32_NOPAD;
use devp2p_core::{Fault, KeyError, PublicKey};

/// Where a tree is, and whose it is: `enrtree://KEY@DOMAIN`.
///
/// The domain is in lower case, in whatever case it was written. Clones are cheap.
///
/// ```
/// # use devp2p_dnsdisc::Link;
/// let link: Link = "enrtree://AKA3AM6LPBYEUDMVNU3BSVQJ5AD45Y7YPOHJLEF6W26QOE4VTUDPE\
///     @all.mainnet.ethdisco.net".parse()?;
/// assert_eq!(link.domain(), "all.mainnet.ethdisco.net");
/// # Ok::<(), devp2p_dnsdisc::LinkError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    domain: Arc<str>,
    public_key: PublicKey,
}

pub(crate) const PREFIX: &str = "enrtree://";

/// The longest domain of a tree, in characters: the name of an entry has to fit in front, in the
/// 253 that DNS allows.
const MAX_DOMAIN: usize = 200;

/// The longest label of a domain (RFC 1035).
const MAX_LABEL: usize = 63;

impl Link {
    /// The tree at `domain` that this key signs.
    ///
    /// # Errors
    /// [`LinkError::Domain`] for what is no domain: labels of letters, digits, hyphens and
    /// underscores with dots between them, none at the end, at most 200 characters in all.
    pub fn new(public_key: PublicKey, domain: &str) -> Result<Self, LinkError> {
        if domain.len() > MAX_DOMAIN || !is_domain(domain) {
            return Err(LinkError::Domain);
        }
        Ok(Self { domain: domain.to_ascii_lowercase().into(), public_key })
    }

    /// The domain, without a dot at the end.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The key that signs the tree.
    pub const fn public_key(&self) -> PublicKey {
        self.public_key
    }
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let rest = text.strip_prefix(PREFIX).ok_or(LinkError::Scheme)?;
        let (key, domain) = rest.split_once('@').ok_or(LinkError::NoKey)?;
        let key = BASE32_NOPAD.decode(key.as_bytes()).map_err(|_| LinkError::Base32)?;
        let key = PublicKey::from_compressed(&key).map_err(LinkError::Key)?;
        Self::new(key, domain)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.public_key.to_compressed();
        write!(f, "{PREFIX}{}@{}", BASE32_NOPAD.encode_display(&key), self.domain)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({self})")
    }
}

/// Whether it is labels with dots between them, none at the end.
pub(crate) fn is_domain(text: &str) -> bool {
    let in_label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.split('.')
        .all(|label| (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(in_label))
}

/// Why a text is not a link to a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// The key is not base32 without padding.
    Base32,
    /// The domain is none, or too long for a tree.
    Domain,
    /// The key is not a compressed public key.
    Key(KeyError),
    /// There is no key.
    NoKey,
    /// The text does not begin with `enrtree://`.
    Scheme,
}

impl LinkError {
    /// Whose fault it is: always that of whoever wrote the link.
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base32 => f.write_str("the key of the tree is not base32"),
            Self::Domain => f.write_str("the domain of the tree is none, or too long"),
            Self::Key(error) => write!(f, "the key of the tree: {error}"),
            Self::NoKey => f.write_str("the link has no key before an @"),
            Self::Scheme => f.write_str("the link does not begin with enrtree://"),
        }
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Key(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AKPYQIUQIL7PSIACI32J7FGZW56E5FKHEFCCOFHILBIMW3M6LWXS2";

    #[test]
    fn domains() {
        let link = |domain: &str| format!("enrtree://{KEY}@{domain}").parse::<Link>();
        assert_eq!(link("Nodes.Example_1.org"), link("nodes.example_1.ORG"));
        assert_eq!(link("n").unwrap().to_string(), format!("enrtree://{KEY}@n"));
        let longest = format!("{}x", "abc.".repeat(49));
        assert!(link(&format!("abc{longest}")).is_ok());
        let long_label = "x".repeat(64);
        for bad in
            ["", ".", "a.", ".a", "a..b", "a b", "a/b", "a@b", "ä", &long_label, &"a.b".repeat(67)]
        {
            assert_eq!(link(bad), Err(LinkError::Domain), "{bad}");
        }
    }
}
