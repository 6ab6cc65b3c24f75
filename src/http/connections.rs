use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use url::Url;

use super::{Error, Settings};
use crate::oci::Registry;

/// Connections and limits: one pool for all hosts that the system's roots vouch for, one more for
/// each host with certificates of its own, so that those count for nobody else.
#[derive(Debug, Default)]
pub(super) struct Connections {
    shared: Mutex<Option<reqwest::Client>>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

/// One `HOST:PORT`.
#[derive(Debug)]
pub(super) struct Host {
    /// `HOST:PORT`.
    pub(super) name: String,
    pub(super) client: reqwest::Client,
    /// Requests under way. Uploads are counted apart: a copy within one registry reads from it
    /// while it writes, and with one count the writers could use up what their readers need.
    pub(super) requests: Arc<Semaphore>,
    pub(super) uploads: Arc<Semaphore>,
}

impl Connections {
    pub(super) fn host(&self, url: &Url, settings: &Settings) -> Result<Arc<Host>, Error> {
        let name = authority(url);
        if let Some(host) = lock(&self.hosts).get(&name) {
            return Ok(Arc::clone(host));
        }
        let host = Arc::new(Host {
            client: self.client(url, settings)?,
            requests: Arc::new(Semaphore::new(settings.per_host.max(1))),
            uploads: Arc::new(Semaphore::new(settings.per_host.max(1))),
            name: name.clone(),
        });
        Ok(Arc::clone(lock(&self.hosts).entry(name).or_insert(host)))
    }

    fn client(&self, url: &Url, settings: &Settings) -> Result<reqwest::Client, Error> {
        let registry =
            Registry::new(url.host_str().unwrap_or_default(), url.port_or_known_default())
                .map_err(|error| Error::Setup(error.to_string()))?;
        let extra = match url.scheme() {
            "https" => settings.trust.extra(&registry)?,
            _ => crate::tls::Extra::default(),
        };
        if !extra.is_empty() {
            return build(extra, settings);
        }
        let mut shared = lock(&self.shared);
        if let Some(client) = shared.as_ref() {
            return Ok(client.clone());
        }
        Ok(shared.insert(build(extra, settings)?).clone())
    }
}

fn build(extra: crate::tls::Extra, settings: &Settings) -> Result<reqwest::Client, Error> {
    let mut tls = extra.client_config()?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("zuul-images/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .hickory_dns(true)
        .connect_timeout(settings.connect_timeout)
        .pool_max_idle_per_host(settings.per_host.max(1) * 2)
        .tcp_nodelay(true);
    if !settings.use_proxy_env {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| Error::Setup(error.to_string()))
}

/// `HOST:PORT`, with the port also where it is the scheme's own.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
