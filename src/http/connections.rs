use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;
use url::Url;

use super::pace::Paces;
use super::{AddressPolicy, Error, Forbidden, Resolver, Settings};
use crate::oci::Registry;
use crate::tls::Extra;

/// How many hosts are remembered. Those of redirects are named by whom they come from.
const MOST_HOSTS: usize = 1000;

/// Connections and limits: one pool for all hosts that the system's roots vouch for, one more for
/// each set of further certificates, so that those count for nobody else.
#[derive(Debug, Default)]
pub(super) struct Connections {
    shared: Mutex<HashMap<(Way, Extra), reqwest::Client>>,
    hosts: Mutex<HashMap<(String, Way), Arc<Host>>>,
    resolver: Resolver,
    judging: OnceLock<Resolver>,
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
    pub(super) paces: Paces,
}

/// How connections are made. Those to where somebody else points are kept apart: nobody gets one that
/// was not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Free,
    Judged,
}

impl Connections {
    /// The connections to the host of a URL; with a policy, only to addresses it permits.
    pub(super) fn host(
        &self,
        url: &Url,
        settings: &Settings,
        reach: Option<&AddressPolicy>,
    ) -> Result<Arc<Host>, Error> {
        let name = authority(url);
        if let Some(policy) = reach {
            judge_literal(url, policy)
                .map_err(|reason| Error::OutOfReach { host: name.clone(), reason })?;
        }
        let key = (name, reach.map_or(Way::Free, |_| Way::Judged));
        if let Some(host) = lock(&self.hosts).get(&key) {
            return Ok(Arc::clone(host));
        }
        let host = Arc::new(Host {
            client: self.client(url, settings, reach)?,
            requests: Arc::new(Semaphore::new(settings.per_host.max(1))),
            uploads: Arc::new(Semaphore::new(settings.per_host.max(1))),
            paces: Paces::new(settings.rate, &key.0),
            name: key.0.clone(),
        });
        let mut hosts = lock(&self.hosts);
        if hosts.len() >= MOST_HOSTS {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        Ok(Arc::clone(hosts.entry(key).or_insert(host)))
    }

    fn client(
        &self,
        url: &Url,
        settings: &Settings,
        reach: Option<&AddressPolicy>,
    ) -> Result<reqwest::Client, Error> {
        let registry =
            Registry::new(url.host_str().unwrap_or_default(), url.port_or_known_default())
                .map_err(|error| Error::Setup(error.to_string()))?;
        let extra = match url.scheme() {
            "https" => settings.trust.extra(&registry)?,
            _ => Extra::default(),
        };
        let resolver = match reach {
            Some(policy) => self.judging.get_or_init(|| Resolver::new(policy.clone())),
            None => &self.resolver,
        };
        let key = (reach.map_or(Way::Free, |_| Way::Judged), extra);
        let mut shared = lock(&self.shared);
        if let Some(client) = shared.get(&key) {
            return Ok(client.clone());
        }
        let client = build(&key, settings, resolver.clone())?;
        shared.insert(key, client.clone());
        Ok(client)
    }
}

/// An address in a URL is dialled without being looked up.
fn judge_literal(url: &Url, policy: &AddressPolicy) -> Result<(), Forbidden> {
    match url.host() {
        Some(url::Host::Ipv4(address)) => policy.check(address.into()),
        Some(url::Host::Ipv6(address)) => policy.check(address.into()),
        Some(url::Host::Domain(_)) | None => Ok(()),
    }
}

fn build(
    (way, extra): &(Way, Extra),
    settings: &Settings,
    resolver: Resolver,
) -> Result<reqwest::Client, Error> {
    let mut tls = extra.clone().client_config()?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("zuul-images/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .default_headers(as_it_is())
        .dns_resolver(resolver)
        .connect_timeout(settings.connect_timeout)
        .pool_max_idle_per_host(settings.per_host.max(1) * 2)
        .tcp_nodelay(true);
    if !settings.use_proxy_env || *way == Way::Judged {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| Error::Setup(error.to_string()))
}

/// Digests are of bytes as they are kept: who is not told may encode them on the way (RFC 9110, 12.5.3).
fn as_it_is() -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))])
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hosts_without_number_are_not_remembered() {
        let (connections, settings) = (Connections::default(), Settings::default());
        let host = |number: usize| {
            let url = format!("https://h{number}.example/").parse().unwrap();
            connections.host(&url, &settings, None).unwrap()
        };
        let used = host(0);
        for number in 0..2 * MOST_HOSTS {
            host(number);
            assert!(lock(&connections.hosts).len() <= MOST_HOSTS);
        }
        assert!(Arc::ptr_eq(&used, &host(0)), "its requests are counted twice");
        assert_eq!(lock(&connections.shared).len(), 1);
    }
}
