use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::config::init::authority;
use super::config::{files, namespaces};
use super::users::Access;
use super::users::Logins;
use super::users::Signer;
use super::{Config, Registry, Speculative};
use crate::pointers::{self, Pointers};
use crate::proxy::Proxy;
use crate::serve::{self, Drained, Server};
use crate::storage::{self, Filesystem, Storage};
use crate::tls;

/// An upload nobody has touched for so long is dropped.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);

/// How often is tried what another process may be in the way of.
const ATTEMPT: Duration = Duration::from_millis(5);

/// How often is looked for such uploads, at least.
const LOOK: Duration = Duration::from_secs(60);

/// A registry that listens, and answers as soon as it runs.
pub struct Service {
    server: Server<Registry>,
    storage: Arc<dyn Storage>,
    logins: Arc<Logins>,
    addresses: Vec<SocketAddr>,
    forgotten: Duration,
}

/// Why a registry could not be set up or started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration, or a file it names, cannot be used.
    #[error("{file}: {reason}")]
    Config {
        /// The file.
        file: String,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// What was asked for cannot be.
    #[error("{0}")]
    Argument(String),
    /// A safety rule forbids it.
    #[error("{0}")]
    Refused(String),
    /// The store cannot be opened or closed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The certificate cannot be used or made.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// An address cannot be listened on.
    #[error("{0}")]
    Listen(#[source] io::Error),
    /// The pointers cannot be read.
    #[error(transparent)]
    Pointers(#[from] pointers::Error),
    /// A file or a folder.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done, on what.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl StartError {
    pub(super) fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing: format!("{doing} {}", path.display()), source }
    }

    /// Whether another process has what is needed.
    fn is_in_use(&self) -> bool {
        match self {
            Self::Storage(storage::Error::InUse(_)) => true,
            Self::Listen(error) => error.kind() == io::ErrorKind::AddrInUse,
            _ => false,
        }
    }
}

impl Service {
    /// Looks whether the files the configuration names can be used.
    ///
    /// # Errors
    /// Names the file, and what to do.
    pub fn check(config: &Config) -> Result<(), StartError> {
        server_config(config)?;
        namespaces::check(config)?;
        let key = token_key(config)?.unwrap_or_default();
        Logins::open(&config.users, &config.htpasswd, Arc::new(Signer::new(key)))?;
        proxy(config)?;
        Ok(())
    }

    /// Opens the store and binds the sockets: `listen` where it is not empty, else what the
    /// configuration says.
    ///
    /// # Errors
    /// Another process serves the store, or a file or socket cannot be had.
    pub async fn open(config: &Config, listen: &[SocketAddr]) -> Result<Self, StartError> {
        Self::take_over(config, listen, Duration::ZERO).await
    }

    /// The same, but waits for another process that has sockets or store to end. Clients that come in
    /// the meantime wait, too: the sockets are bound as soon as they are free, the store is opened when
    /// the other is done with it.
    ///
    /// # Errors
    /// The other process is still there when the time is over, or a file or socket cannot be had.
    pub async fn take_over(
        config: &Config,
        listen: &[SocketAddr],
        wait: Duration,
    ) -> Result<Self, StartError> {
        for note in &config.notes {
            tracing::warn!("{note}");
        }
        let tls = server_config(config)?;
        let until = Instant::now() + wait;
        let listen = if listen.is_empty() { &config.listen } else { listen };
        let early = match wait.is_zero() {
            true => None,
            false => Some(patiently(until, || bind(config, listen)).await?),
        };
        let storage: Arc<dyn Storage> = Arc::new(patiently(until, || open_store(config)).await?);
        let pointers = open_pointers(config).await?;
        let layers = async || namespaces::layers(config, &storage, pointers.as_ref()).await;
        let layers = patiently(until, layers).await?;
        let key = match token_key(config)? {
            Some(key) => key,
            None => files::new_token_key(&config.token_key)
                .map_err(|error| StartError::io("write", &config.token_key, error))?,
        };
        let listeners = match early {
            Some(listeners) => listeners,
            None => bind(config, listen).await?,
        };
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok());
        let signer = Arc::new(Signer::new(key));
        let logins = Arc::new(Logins::open(&config.users, &config.htpasswd, Arc::clone(&signer))?);
        let access = Access {
            logins: Arc::clone(&logins),
            anonymous_pull: config.anonymous_pull(),
            signer,
            public_url: config.public_url.clone(),
        };
        let upper = layers.upper();
        let mut registry =
            Registry::new(Arc::clone(&storage), layers, pointers, access.clone(), config);
        if let Some(proxy) = proxy(config)? {
            let upper = Registry::new(Arc::clone(&storage), upper, None, access, config);
            registry.forward_through(proxy, upper);
        }
        Ok(Self {
            addresses: addresses.collect(),
            server: Server {
                listeners,
                tls,
                limits: config.limits.of_connections(),
                drain: Duration::from_secs(60),
                handler: Arc::new(registry),
            },
            storage,
            logins,
            forgotten: FORGOTTEN,
        })
    }

    /// Sets how long running requests may take to end after `stop`.
    #[must_use]
    pub fn draining(mut self, drain: Duration) -> Self {
        self.server.drain = drain;
        self
    }

    /// Sets after which time an upload nobody has touched is dropped.
    #[must_use]
    pub fn forgetting(mut self, forgotten: Duration) -> Self {
        self.forgotten = forgotten;
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What keeps the store from others even when it has run.
    #[must_use]
    pub fn hold(&self) -> impl Sized + use<> {
        Arc::clone(&self.storage)
    }

    /// Serves until `stop` is done and requests have ended, then writes down what is under way.
    ///
    /// # Errors
    /// Uploads under way could not be written down; what was acknowledged is safe all the same.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<Drained, StartError> {
        let registry = Arc::clone(&self.server.handler);
        let drained = tokio::select! {
            drained = self.server.run(stop) => drained,
            never = drop_forgotten(&*self.storage, self.forgotten) => match never {},
            never = self.logins.watch() => match never {},
            never = list_images(&registry) => match never {},
        };
        self.storage.suspend().await?;
        Ok(drained)
    }
}

/// Tries again while another process is in the way and there is time.
async fn patiently<T>(
    until: Instant,
    attempt: impl AsyncFn() -> Result<T, StartError>,
) -> Result<T, StartError> {
    loop {
        match attempt().await {
            Err(error) if error.is_in_use() && Instant::now() < until => {
                tokio::time::sleep(ATTEMPT).await;
            }
            result => return result,
        }
    }
}

async fn open_store(config: &Config) -> Result<Filesystem, StartError> {
    let store = config.storage.clone();
    let opening =
        tokio::task::spawn_blocking(move || Filesystem::open(&store.folder, store.durability));
    let opened = opening.await.map_err(|error| StartError::Io {
        doing: "open the store".to_owned(),
        source: error.into(),
    })?;
    Ok(opened?)
}

async fn bind(config: &Config, listen: &[SocketAddr]) -> Result<Vec<TcpListener>, StartError> {
    let listeners = match listen {
        [] => serve::bind_any(config.port).await,
        addresses => serve::bind(addresses).await,
    };
    listeners.map_err(StartError::Listen)
}

fn server_config(config: &Config) -> Result<Option<Arc<ServerConfig>>, StartError> {
    let Some(tls) = &config.tls else { return Ok(None) };
    files::warn_if_open(&tls.key, "a private key");
    match tls::server_config(&tls.certificate, &tls.key) {
        Ok(config) => Ok(Some(config)),
        Err(tls::Error::File { file, reason }) => Err(unusable(file, &reason)),
        Err(error) => Err(error.into()),
    }
}

/// The forward proxy, where there is one.
fn proxy(config: &Config) -> Result<Option<Proxy>, StartError> {
    let Some(section) = &config.forward_proxy else { return Ok(None) };
    let unusable = |reason: String| StartError::Config { file: "forward_proxy".to_owned(), reason };
    if config.users.is_empty() && config.htpasswd.is_empty() {
        let reason = "it takes a login, and there is nobody in `users` or `htpasswd`; a proxy open \
                      to all is not offered";
        return Err(unusable(reason.to_owned()));
    }
    let authority = authority(&section.authority)?;
    let missing = section.unvouched(&authority);
    if let Some(registry) = missing {
        return Err(unusable(format!(
            "the certificate authority in {} may not vouch for {registry}; run `init` again with \
             --proxy-registry {registry}, and give clients the new certificate",
            section.authority.display()
        )));
    }
    Ok(Some(Proxy::new(section, authority)?))
}

fn token_key(config: &Config) -> Result<Option<[u8; 32]>, StartError> {
    let file = &config.token_key;
    files::warn_if_open(file, "the key that tokens are signed with");
    files::token_key(file).map_err(|error| unusable(file.display().to_string(), &error.to_string()))
}

/// Pointers, where they are accepted.
async fn open_pointers(config: &Config) -> Result<Option<Arc<Pointers>>, StartError> {
    let Speculative { accept_pointers, pointers, allow, .. } = config.speculative.clone();
    if !accept_pointers {
        return Ok(None);
    }
    let opening = tokio::task::spawn_blocking(move || Pointers::open(&pointers, allow)).await;
    let opened = opening.map_err(|error| StartError::Io {
        doing: "read the pointers".to_owned(),
        source: error.into(),
    })?;
    Ok(Some(Arc::new(opened?)))
}

fn unusable(file: String, reason: &str) -> StartError {
    let next = "put the right one there, or run `buildset-registry init` again";
    StartError::Config { file, reason: format!("{reason}; {next}") }
}

/// Requests are answered meanwhile.
async fn list_images(registry: &Registry) -> Infallible {
    registry.look_through().await;
    std::future::pending().await
}

async fn drop_forgotten(storage: &dyn Storage, after: Duration) -> Infallible {
    loop {
        tokio::time::sleep(LOOK.min(after)).await;
        if let Err(error) = storage.drop_idle_uploads(after).await {
            tracing::warn!(%error, "an abandoned upload could not be removed");
        }
    }
}
