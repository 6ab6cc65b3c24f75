//! One HTTP client for everything.

use std::time::Duration;

use crate::oci::Registry;
use crate::tls::Trust;

/// How the network is used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who is believed.
    pub trust: Trust,
    /// Registries spoken to without TLS; only those named here.
    pub plain_http: Vec<Registry>,
    /// How many requests may be under way to one host; uploads are counted apart.
    pub per_host: usize,
    /// Whether `https_proxy`, `http_proxy` and `no_proxy` are obeyed.
    pub use_proxy_env: bool,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long the other side may be silent.
    pub idle_timeout: Duration,
    /// How often a failed request is tried again.
    pub retries: usize,
}

/// Counters since the client was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Statistics {
    /// Requests sent, those of redirects, tokens and retries among them.
    pub requests: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Bytes of bodies received.
    pub bytes_in: u64,
    /// Bytes of bodies sent.
    pub bytes_out: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trust: Trust::system(),
            plain_http: Vec::new(),
            per_host: 16,
            use_proxy_env: false,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            retries: 5,
        }
    }
}

/// What went wrong on the network, by meaning.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection.
    #[error("no connection to {host}: {reason}")]
    Connect {
        /// `HOST:PORT`.
        host: String,
        /// Why.
        reason: String,
    },
}

/// The HTTP client; clones share connections, limits and counters.
#[derive(Debug, Clone)]
pub struct Http {}

impl Http {
    /// A client with these settings.
    ///
    /// # Errors
    /// Settings that do not fit together.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let _ = settings;
        todo!()
    }

    /// What was sent and received so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        todo!()
    }
}
