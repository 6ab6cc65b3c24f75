use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::{AddressPolicy, Error, Rate};
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
    /// How many may be sent to one host in a second, by each identity.
    pub rate: Rate,
    /// Whether `https_proxy`, `http_proxy` and `no_proxy` are obeyed.
    pub use_proxy_env: bool,
    /// Where requests may lead whose target an answer named: redirects to another place, and what is
    /// marked by [`Request::named_by_answer`](super::Request::named_by_answer), such as token servers.
    /// Such requests pass no proxy, which would look the name up itself. Without a policy they go
    /// anywhere, as suits a program that somebody runs.
    pub reach: Option<AddressPolicy>,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long the other side may be silent.
    pub idle_timeout: Duration,
    /// How long a registry may take to check an upload after its last byte.
    pub commit_timeout: Duration,
    /// How often a failed request is tried again.
    pub retries: usize,
    /// The pause before the first retry; it doubles from one to the next.
    pub first_pause: Duration,
    /// The longest pause; who asks for a longer one by `Retry-After` is not asked again.
    pub longest_pause: Duration,
    /// Told of every answer and of every failure to get one.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Looks at what servers answer, each redirect and retry for itself.
pub trait Observer: fmt::Debug + Send + Sync {
    /// `HOST:PORT` answered.
    fn answered(&self, host: &str, status: StatusCode, headers: &HeaderMap);

    /// `HOST:PORT` did not.
    fn failed(&self, host: &str, error: &Error);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trust: Trust::system(),
            plain_http: Vec::new(),
            per_host: 16,
            rate: Rate::Free,
            use_proxy_env: false,
            reach: None,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            commit_timeout: Duration::from_secs(300),
            retries: 5,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(60),
            observer: None,
        }
    }
}

/// What was sent and received since the client was made.
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

/// The counters behind [`Statistics`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: Counter,
    pub(super) retries: Counter,
    pub(super) bytes_in: Counter,
    pub(super) bytes_out: Counter,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(super) fn snapshot(&self) -> Statistics {
        Statistics {
            requests: self.requests.value(),
            retries: self.retries.value(),
            bytes_in: self.bytes_in.value(),
            bytes_out: self.bytes_out.value(),
        }
    }
}
