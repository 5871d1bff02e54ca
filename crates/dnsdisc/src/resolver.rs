use std::{fmt, pin::Pin, sync::Arc};

use devp2p_core::Fault;

use crate::Entry;

/// Asks DNS for TXT records.
///
/// ```
/// use devp2p_dnsdisc::{LookupError, Resolver, Txt};
///
/// struct OneName;
///
/// impl Resolver for OneName {
///     async fn lookup_txt(&self, name: &str) -> Result<Vec<Txt>, LookupError> {
///         if name == "nodes.example.org" {
///             Ok(vec![Txt::from("enrtree-branch:")])
///         } else {
///             Err(LookupError::NotFound)
///         }
///     }
/// }
/// ```
pub trait Resolver: Send + Sync + 'static {
    /// All TXT records of a name, which is fully qualified and has no dot at its end.
    ///
    /// It needs no timeout of its own: whoever asks drops the future when it has waited enough.
    fn lookup_txt(&self, name: &str) -> impl Future<Output = Result<Vec<Txt>, LookupError>> + Send;
}

/// A [`Resolver`] of any type; a cheap handle.
#[derive(Clone)]
pub struct AnyResolver(Arc<dyn DynResolver>);

impl AnyResolver {
    /// Wraps a resolver.
    pub fn new(resolver: impl Resolver) -> Self {
        Self(Arc::new(resolver))
    }

    /// As [`Resolver::lookup_txt`], as a future that owns all that it needs.
    pub(crate) fn look_up(&self, name: String) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Arc::clone(&self.0).look_up(name)
    }
}

impl Resolver for AnyResolver {
    fn lookup_txt(&self, name: &str) -> impl Future<Output = Result<Vec<Txt>, LookupError>> + Send {
        self.look_up(name.to_owned())
    }
}

impl fmt::Debug for AnyResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyResolver(..)")
    }
}

type Answer = Result<Vec<Txt>, LookupError>;

trait DynResolver: Send + Sync {
    fn look_up(self: Arc<Self>, name: String) -> Pin<Box<dyn Future<Output = Answer> + Send>>;
}

impl<R: Resolver> DynResolver for R {
    fn look_up(self: Arc<Self>, name: String) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        Box::pin(async move { self.lookup_txt(&name).await })
    }
}

/// What one TXT record says: its strings, joined.
///
/// It holds no more than an entry may be long, and one byte to tell that there was more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txt(Vec<u8>);

impl Txt {
    /// Joins the strings of a record.
    pub fn join<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Self {
        let mut joined = Vec::new();
        for string in strings {
            let room = (Entry::MAX_SIZE + 1).saturating_sub(joined.len());
            joined.extend(string.as_ref().iter().take(room));
        }
        Self(joined)
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Txt {
    fn from(text: &str) -> Self {
        Self::join([text])
    }
}

/// Why a lookup has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LookupError {
    /// The lookup failed, for the reason that the text gives.
    Failed(String),
    /// There is no such name, or it has no TXT record.
    NotFound,
    /// No answer came in time.
    Timeout,
}

impl LookupError {
    /// Whose fault it is: that of whoever published the tree where a name is missing, otherwise
    /// the network's.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NotFound => Fault::Remote,
            _ => Fault::Network,
        }
    }
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => write!(f, "the lookup failed: {why}"),
            Self::NotFound => f.write_str("there is no such txt record"),
            Self::Timeout => f.write_str("the name server does not answer"),
        }
    }
}

impl std::error::Error for LookupError {}
