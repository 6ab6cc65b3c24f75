use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::health::UpstreamHealth;
use super::{Namespace, Reader};
use crate::client::{self, Client};
use crate::http::{self, AddressPolicy, Http};
use crate::oci::{Registry, RepositoryName};
use crate::tls::Trust;

/// A registry below this one.
#[derive(Debug)]
pub(super) struct Upstream {
    /// As images name it.
    pub(super) name: Registry,
    pub(super) health: Arc<UpstreamHealth>,
    pub(super) has_login: bool,
    pub(super) ttl: Duration,
    public: bool,
    registry: Registry,
    prefix: String,
    client: Client,
}

/// The registries below this one, by the first part of a canonical name.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    by_component: HashMap<String, Arc<Upstream>>,
    docker_hub: Option<Arc<Upstream>>,
}

/// Why a namespace cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("namespace {name}: {reason}")]
pub struct InvalidNamespace {
    /// Which.
    pub name: Registry,
    /// Why not.
    pub reason: String,
}

impl Upstreams {
    pub(super) fn new(
        namespaces: &[Namespace],
        idle: Duration,
        reach: Option<&AddressPolicy>,
    ) -> Result<Self, InvalidNamespace> {
        let mut upstreams = Self::default();
        for namespace in namespaces {
            let twice = || InvalidNamespace {
                name: namespace.name.clone(),
                reason: "it is named twice".to_owned(),
            };
            let upstream = Arc::new(Upstream::new(namespace, idle, reach.cloned())?);
            let before = match namespace.name.is_docker_hub() {
                true => upstreams.docker_hub.replace(upstream),
                false => {
                    let component = namespace.name.path_component();
                    upstreams.by_component.insert(component, upstream)
                }
            };
            if before.is_some() {
                return Err(twice());
            }
        }
        Ok(upstreams)
    }

    /// Whose repository this is, and its name there.
    pub(super) fn of(&self, key: &RepositoryName) -> Option<(&Arc<Upstream>, client::Repository)> {
        let (upstream, name) = match key.as_str().split_once('/') {
            Some((first, rest)) if self.by_component.contains_key(first) => {
                (self.by_component.get(first)?, rest.to_owned())
            }
            Some((first, _)) if Registry::is_named_by(first) => return None,
            Some(_) => (self.docker_hub.as_ref()?, key.to_string()),
            None => (self.docker_hub.as_ref()?, format!("library/{key}")),
        };
        // With its prefix it may be too long for a name.
        let name = format!("{}{name}", upstream.prefix).parse().ok()?;
        Some((upstream, upstream.client.repository(&upstream.registry, &name)))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.docker_hub.iter().chain(self.by_component.values())
    }
}

impl Upstream {
    fn new(
        namespace: &Namespace,
        idle: Duration,
        reach: Option<AddressPolicy>,
    ) -> Result<Self, InvalidNamespace> {
        let fail = |reason: String| InvalidNamespace { name: namespace.name.clone(), reason };
        let url = &namespace.url;
        let host = url.host_str().ok_or_else(|| fail("its url has no host".to_owned()))?;
        let registry = Registry::new(host, url.port()).map_err(|error| fail(error.to_string()))?;
        let prefix = match url.path().trim_matches('/') {
            "" => String::new(),
            path => {
                let path: RepositoryName = path.parse().map_err(|_| {
                    fail("the path in its url cannot stand before a name".to_owned())
                })?;
                format!("{path}/")
            }
        };
        let mut trust = Trust::system();
        if let Some(pem) = &namespace.ca {
            trust.add_everywhere(&registry, pem).map_err(|error| fail(error.to_string()))?;
        }
        let plain_http = match url.scheme() {
            "https" => Vec::new(),
            "http" => vec![registry.clone()],
            _ => return Err(fail("its url is neither https nor http".to_owned())),
        };
        let health = Arc::new(UpstreamHealth::new(
            namespace.name.to_string(),
            authority(&registry, &plain_http),
        ));
        let settings = http::Settings {
            trust,
            plain_http,
            reach,
            // Readers and revalidations must not wait for downloads.
            per_host: 64,
            connect_timeout: idle.min(Duration::from_secs(5)),
            idle_timeout: idle,
            retries: 3,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(2),
            observer: Some(Arc::clone(&health) as Arc<dyn http::Observer>),
            ..http::Settings::default()
        };
        let http = Http::new(settings).map_err(|error| fail(error.to_string()))?;
        Ok(Self {
            name: namespace.name.clone(),
            health,
            has_login: namespace.has_login,
            ttl: namespace.ttl,
            public: namespace.public,
            client: Client::new(http, namespace.logins.clone()),
            registry,
            prefix,
        })
    }

    /// Whether the reader may have what comes from here.
    pub(super) fn serves(&self, reader: Reader) -> bool {
        !self.has_login || self.public || reader == Reader::Known
    }
}

/// `HOST:PORT` as `http` names it.
fn authority(registry: &Registry, plain: &[Registry]) -> String {
    if registry.is_docker_hub() {
        return "registry-1.docker.io:443".to_owned();
    }
    let default = if plain.contains(registry) { 80 } else { 443 };
    match registry.port() {
        Some(_) => registry.to_string(),
        None => format!("{registry}:{default}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::auth::CredentialStore;

    fn namespace(name: &str, url: &str) -> Namespace {
        Namespace {
            name: name.parse().unwrap(),
            url: url.parse().unwrap(),
            ca: None,
            logins: CredentialStore::empty(),
            has_login: false,
            public: false,
            ttl: Duration::from_secs(60),
        }
    }

    fn upstreams(namespaces: &[Namespace]) -> Result<Upstreams, InvalidNamespace> {
        Upstreams::new(namespaces, Duration::from_secs(1), None)
    }

    #[test]
    fn namespaces_that_cannot_be_are_refused() {
        for (name, url) in [
            ("quay.io", "ftp://quay.io"),
            ("quay.io", "https://quay.io/Not a name"),
            ("quay.io", "data:x"),
        ] {
            assert!(upstreams(&[namespace(name, url)]).is_err(), "{url}");
        }
        let hub = |name| namespace(name, "https://h");
        assert!(upstreams(&[hub("docker.io"), hub("registry-1.docker.io")]).is_err());
    }

    #[test]
    fn every_key_is_asked_for_under_its_upstreams_own_name() {
        let upstreams = upstreams(&[
            namespace("docker.io", "https://mirror.example/hub"),
            namespace("quay.io", "https://quay.io"),
            namespace("localhost:5000", "http://localhost:5000"),
            namespace("[::1]:5000", "http://[::1]:5000"),
        ])
        .unwrap();
        for (key, name) in [
            ("x", Some("mirror.example/hub/library/x")),
            ("org/x", Some("mirror.example/hub/org/x")),
            ("quay.io/org/x", Some("quay.io/org/x")),
            ("localhost_5000/x", Some("localhost:5000/x")),
            ("ipv6-0-0-0-0-0-0-0-1_5000/a/x", Some("[::1]:5000/a/x")),
            ("ghcr.io/org/x", None),
            ("quay.io:443/x", None),
        ] {
            let Ok(key) = key.parse() else { continue };
            let found =
                upstreams.of(&key).map(|(_, at)| format!("{}/{}", at.registry(), at.name()));
            assert_eq!(found.as_deref(), name, "{key}");
        }
    }
}
