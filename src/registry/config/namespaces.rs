//! Other registries in the configuration: which are asked, and how their content is kept.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::{Config, Period, Size, Store};
use crate::auth::{CredentialStore, Credentials};
use crate::http::{AddressPolicy, Network};
use crate::layers::{Layers, Limits, Namespace};
use crate::oci::Registry;
use crate::pointers::Pointers;
use crate::registry::service::StartError;
use crate::registry::speculative::Leads;
use crate::storage::{Filesystem, Storage};

/// A registry that is asked for what is not here.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceConfig {
    /// Its name in images: `docker.io`, `quay.io`, `host.example:5000`.
    pub name: String,
    /// Where it is, if not at `https://NAME`; a path stands before every repository's name.
    pub url: Option<String>,
    /// Certificates (PEM) it is believed by, beyond the system's, and so is where it leads.
    pub ca: Option<PathBuf>,
    /// The site's login there.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// The login in a file as podman and docker write it.
    pub authfile: Option<PathBuf>,
    /// Whether who may pull without a login gets what the site's login fetched.
    #[serde(default)]
    pub public: bool,
    /// How long a tag is believed before it is looked at again.
    #[serde(default = "default_ttl")]
    pub ttl: Period,
}

/// How content of other registries is fetched and kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// How many bytes of blobs each cache may hold.
    pub limit: Option<Size>,
    /// The largest blob that is fetched.
    pub blob_limit: Size,
    /// How long another registry may be silent.
    pub idle: Period,
    /// How long a fetch goes on when nobody waits for it any more.
    pub grace: Period,
    /// Networks other registries may send us to, by redirects and for tokens, although they are not
    /// public.
    pub allow: Vec<Network>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            limit: None,
            blob_limit: Size(limits.blob),
            idle: Period(limits.idle),
            grace: Period(limits.grace),
            allow: Vec::new(),
        }
    }
}

impl CacheConfig {
    fn limits(&self) -> Limits {
        Limits {
            blob: self.blob_limit.0,
            total: self.limit.map(|size| size.0),
            idle: self.idle.0,
            grace: self.grace.0,
        }
    }

    fn reach(&self) -> AddressPolicy {
        AddressPolicy::allowing(self.allow.clone())
    }
}

/// The layers over and below a store.
pub(in crate::registry) async fn layers(
    config: &Config,
    local: &Arc<dyn Storage>,
    pointers: Option<&Arc<Pointers>>,
) -> Result<Layers, StartError> {
    let mut layers = Layers::only(Arc::clone(local), config.cache.limits());
    if let Some(pointers) = pointers {
        let store = shelf(&config.storage, "speculative").await?;
        layers = layers.with_pointers(Arc::new(Leads(Arc::clone(pointers))), store);
    }
    if config.namespaces.is_empty() {
        return Ok(layers);
    }
    let namespaces = read(config)?;
    let cache = shelf(&config.storage, "cache").await?;
    let private = shelf(&config.storage, "private").await?;
    let reach = config.cache.reach();
    layers
        .with_upstreams(&namespaces, cache, private, Some(&reach))
        .map_err(|error| StartError::Argument(format!("namespaces: {error}")))
}

/// Looks whether the namespaces can be used, as far as their files tell.
pub(in crate::registry) fn check(config: &Config) -> Result<(), StartError> {
    read(config).map(drop)
}

/// Where the layer of this name is kept: on the same disk as what is pushed, so that content goes from
/// one to the other without a copy.
pub(super) fn shelf_folder(store: &Store, name: &str) -> PathBuf {
    store.folder.join("layers").join(name)
}

async fn shelf(store: &Store, name: &str) -> Result<Arc<dyn Storage>, StartError> {
    let (folder, durability) = (shelf_folder(store, name), store.durability);
    let opening = tokio::task::spawn_blocking(move || Filesystem::open(&folder, durability));
    let opened = opening.await.map_err(|error| StartError::Io {
        doing: format!("open the {name} store"),
        source: error.into(),
    })?;
    Ok(Arc::new(opened?))
}

fn read(config: &Config) -> Result<Vec<Namespace>, StartError> {
    config.namespaces.iter().map(NamespaceConfig::read).collect()
}

impl NamespaceConfig {
    fn read(&self) -> Result<Namespace, StartError> {
        let wrong = |reason: String| {
            let name: String = self.name.chars().take(80).flat_map(char::escape_debug).collect();
            StartError::Argument(format!("namespace {name}: {reason}"))
        };
        let name: Registry =
            self.name.parse().map_err(|error: crate::oci::Error| wrong(error.to_string()))?;
        let url = match &self.url {
            Some(url) => url.clone(),
            None if name.is_docker_hub() => "https://registry-1.docker.io".to_owned(),
            None => format!("https://{name}"),
        };
        let url: url::Url =
            url.parse().map_err(|error| wrong(format!("its url is none ({error})")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "a login stands in `username` and `password`, not in the url".into(),
            ));
        }
        let place = Registry::new(url.host_str().unwrap_or_default(), url.port())
            .map_err(|error| wrong(error.to_string()))?;
        let ca = match &self.ca {
            Some(file) => {
                Some(fs::read(file).map_err(|error| StartError::io("read", file, error))?)
            }
            None => None,
        };
        let mut logins = match &self.authfile {
            Some(file) => CredentialStore::read_authfile(file)
                .map_err(|error| wrong(error.to_string()))?
                .without_helpers(),
            None => CredentialStore::empty(),
        };
        match (&self.username, &self.password) {
            (Some(username), Some(password)) => {
                logins.add(&place, None, Credentials::new(username, password));
            }
            (None, None) => {}
            _ => return Err(wrong("`username` and `password` belong together".to_owned())),
        }
        Ok(Namespace {
            has_login: self.username.is_some() || self.authfile.is_some(),
            name,
            url,
            ca,
            logins,
            public: self.public,
            ttl: self.ttl.0,
        })
    }

    /// Its files, to be found from the folder of the configuration.
    pub(in crate::registry) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.ca.iter_mut().chain(&mut self.authfile)
    }
}

/// Without the password.
impl fmt::Debug for NamespaceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamespaceConfig({}, {:?})", self.name, self.url)
    }
}

fn default_ttl() -> Period {
    Period(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn namespace(name: &str) -> NamespaceConfig {
        NamespaceConfig {
            name: name.to_owned(),
            url: None,
            ca: None,
            username: None,
            password: None,
            authfile: None,
            public: false,
            ttl: default_ttl(),
        }
    }

    #[test]
    fn namespaces_that_cannot_be_are_refused_and_show_no_password() {
        let with = |change: fn(&mut NamespaceConfig)| {
            let mut namespace = namespace("quay.io");
            change(&mut namespace);
            namespace.read().unwrap_err().to_string()
        };
        for message in [
            with(|namespace| namespace.name = "quay.io/org".into()),
            with(|namespace| namespace.url = Some("quay.io".into())),
            with(|namespace| namespace.url = Some("https://u:hunter2@quay.io".into())),
            with(|namespace| namespace.password = Some("hunter2".into())),
            with(|namespace| namespace.username = Some("u".into())),
            with(|namespace| namespace.authfile = Some("/nonexistent/hunter".into())),
            with(|namespace| namespace.ca = Some("/nonexistent/ca.pem".into())),
        ] {
            assert!(!message.contains("hunter2"), "{message}");
        }
        let mut login = namespace("quay.io");
        login.password = Some("hunter2".into());
        assert!(!format!("{login:?}").contains("hunter2"));
    }

    #[test]
    fn a_namespace_is_at_its_own_name_unless_said_otherwise() {
        for (name, url) in [
            ("quay.io", "https://quay.io/"),
            ("docker.io", "https://registry-1.docker.io/"),
            ("host.example:5000", "https://host.example:5000/"),
            ("[::1]:5000", "https://[::1]:5000/"),
        ] {
            let read = namespace(name).read().unwrap();
            assert_eq!((read.url.as_str(), read.has_login), (url, false));
        }
    }
}
