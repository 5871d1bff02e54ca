use std::{fmt, net::SocketAddr, time::Duration};

use devp2p_core::Fault;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData},
};

use crate::{LookupError, Resolver, Txt};

/// How long one question to one name server may take; a second one is then asked.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);

/// A [`Resolver`] that asks name servers, by UDP, and by TCP what does not fit (crate
/// `hickory-resolver`). Entries are not kept: the client does that.
#[derive(Clone)]
pub struct HickoryResolver(TokioResolver);

impl HickoryResolver {
    /// Asks the name servers that the system is configured with.
    ///
    /// # Errors
    /// Where the system's configuration cannot be read.
    pub fn from_system() -> Result<Self, HickoryError> {
        let (config, _) = hickory_resolver::system_conf::read_system_conf()?;
        Self::with_config(config)
    }

    /// Asks these name servers.
    ///
    /// # Errors
    /// None that is known of.
    pub fn from_servers(
        servers: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Self, HickoryError> {
        let servers = servers.into_iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let connections = connections.map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        Self::with_config(ResolverConfig::from_name_servers(servers.collect()))
    }

    fn with_config(config: ResolverConfig) -> Result<Self, HickoryError> {
        let mut options = ResolverOpts::default();
        options.cache_size = 0;
        options.timeout = QUESTION_TIMEOUT;
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(config, provider).with_options(options);
        Ok(Self(builder.build()?))
    }
}

impl Resolver for HickoryResolver {
    async fn lookup_txt(&self, name: &str) -> Result<Vec<Txt>, LookupError> {
        // With a dot at the end no search domain is tried.
        let name = Name::from_ascii(format!("{name}."))
            .map_err(|error| LookupError::Failed(error.to_string()))?;
        let found = self.0.txt_lookup(name).await.map_err(|error| match error {
            NetError::Timeout => LookupError::Timeout,
            error if error.is_no_records_found() => LookupError::NotFound,
            error => LookupError::Failed(error.to_string()),
        })?;
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(txt) => Some(Txt::join(&txt.txt_data)),
            _ => None,
        });
        Ok(records.collect())
    }
}

impl fmt::Debug for HickoryResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HickoryResolver(..)")
    }
}

/// Why there is no resolver.
#[derive(Clone, Debug)]
pub struct HickoryError(NetError);

impl HickoryError {
    /// Whose fault it is: that of this system's configuration.
    pub const fn fault(&self) -> Fault {
        Fault::Local
    }
}

impl From<NetError> for HickoryError {
    fn from(error: NetError) -> Self {
        Self(error)
    }
}

impl fmt::Display for HickoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no name server can be asked: {}", self.0)
    }
}

impl std::error::Error for HickoryError {}
