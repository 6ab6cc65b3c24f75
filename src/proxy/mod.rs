//! The forward proxy's mechanics: where CONNECT may lead, tunnels, and the way to the real registries.
//!
//! A [`Target`] is what CONNECT names; [`Proxy`] says whether it may be reached, and how: most hosts by a
//! blind tunnel of bytes ([`relay`]), the listed registries by one that is opened here with a certificate
//! of our own ([`Proxy::open`]), so that reads can be answered from what this registry has; everything
//! else goes on unchanged through a [`Passage`]. Who may use the proxy and what is answered here is
//! `registry`'s; certificates are `tls`'s; which addresses may be dialled `http` says.
//! RFC 9110 (7.6.1, 9.3.6, 15.5.20), RFC 9112.

mod config;
mod dial;
mod error;
mod headers;
mod passage;
mod relay;
mod target;
mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

pub use self::config::{Config, subjects};
pub use self::error::Error;
pub use self::passage::Passage;
pub use self::relay::relay;
pub use self::target::Target;
use crate::http::{AddressPolicy, Resolver};
use crate::oci::Registry;
use crate::serve::file_limit;
use crate::tls::{self, Leaves, Trust};

/// How long looking up a name, making a connection, and a handshake may take, each.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How long both sides may be silent: a registry that checks a large upload says nothing meanwhile.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// How many tunnels there may be at once: each has buffers and a socket of its own.
const TUNNELS: usize = 2048;

/// Nor may their sockets take more than this part of the files the system lets the process open: half
/// of what connections of clients leave.
const SHARE: usize = 8;

/// Where connections may lead, and what is needed to make them.
pub struct Proxy {
    listed: BTreeMap<Target, Listed>,
    ports: Vec<u16>,
    resolver: Resolver,
    leaves: Leaves,
    places: Arc<Semaphore>,
}

/// A registry whose tunnels are opened here.
struct Listed {
    registry: Registry,
    tls: Arc<ClientConfig>,
}

/// Where a CONNECT leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To a registry that is listed: its images may be here.
    Listed(Registry),
    /// Anywhere else.
    Other,
}

/// A tunnel that was opened here.
pub struct Opened<S> {
    /// What the client says in it.
    pub stream: TlsStream<S>,
    /// Whether the client wanted the certificate of the host it had named to CONNECT.
    pub named_target: bool,
}

impl Proxy {
    /// A proxy for what the configuration lists, with certificates of this authority.
    ///
    /// # Errors
    /// Certificates of a registry that cannot be used.
    pub fn new(config: &Config, authority: tls::Authority) -> Result<Self, tls::Error> {
        let mut trust = Trust::system();
        for (registry, pem) in config.certificates()? {
            trust.add(&registry, &pem)?;
        }
        let mut listed = BTreeMap::new();
        for registry in &config.registries {
            for target in Target::of(registry) {
                let mut tls = trust.extra(registry)?.client_config()?;
                tls.alpn_protocols = vec![b"http/1.1".to_vec()];
                listed.insert(target, Listed { registry: registry.clone(), tls: Arc::new(tls) });
            }
        }
        Ok(Self {
            listed,
            ports: config.ports.clone(),
            resolver: Resolver::new(AddressPolicy::allowing(config.allow.clone())),
            leaves: Leaves::new(authority),
            places: Arc::new(Semaphore::new(TUNNELS.min(file_limit() / SHARE).max(1))),
        })
    }

    /// A place for one more tunnel; it is kept as long as the tunnel.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| Error::Busy)
    }

    /// Says where a CONNECT leads.
    ///
    /// # Errors
    /// To a port that is not allowed.
    pub fn destination(&self, target: &Target) -> Result<Destination, Error> {
        match self.listed.get(target) {
            Some(listed) => Ok(Destination::Listed(listed.registry.clone())),
            None if self.ports.contains(&target.port()) => Ok(Destination::Other),
            None => Err(Error::Port { target: target.clone() }),
        }
    }

    /// Resolves a target once and connects to what was judged.
    ///
    /// # Errors
    /// No address may be connected to, or none answers.
    pub async fn dial(&self, target: &Target) -> Result<TcpStream, Error> {
        let addresses = self.addresses(target).await?;
        dial::connect(target, &addresses).await
    }

    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Error> {
        let unreachable = |source| Error::Unreachable { target: target.clone(), source };
        let looked_up = timeout(CONNECT_TIME, self.resolver.resolve(target.host())).await;
        let found = looked_up
            .map_err(|_| Error::Timeout { target: target.clone(), what: "could not be resolved" })?
            .map_err(unreachable)?;
        Ok(found.into_iter().map(|address| SocketAddr::new(address, target.port())).collect())
    }

    /// Opens a tunnel to a listed registry in its place.
    ///
    /// # Errors
    /// The client does not speak TLS, or not with us; it says so late.
    pub async fn open<S>(&self, target: &Target, stream: S) -> Result<Opened<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.leaves.server_config(&target.subject())?;
        let handshake = async {
            let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            let named_target = target.is_named_by_sni(start.client_hello().server_name());
            let stream = start.into_stream(config).await?;
            Ok(Opened { stream, named_target })
        };
        match timeout(CONNECT_TIME, handshake).await {
            Ok(opened) => opened.map_err(Error::Handshake),
            Err(_) => Err(Error::Handshake(std::io::ErrorKind::TimedOut.into())),
        }
    }
}
