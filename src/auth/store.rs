use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Mutex;

use super::authfile::{AuthFile, key};
use super::{Credentials, Error, Identity, helper};
use crate::oci::{Registry, RepositoryName};

/// What helpers answered, by helper and server.
type Answers = HashMap<(String, String), Option<Credentials>>;

/// Credentials by registry and repository prefix, from what was added and from auth files in the
/// order of their precedence.
#[derive(Debug, Clone, Default)]
pub struct CredentialStore {
    added: AuthFile,
    files: Vec<AuthFile>,
    asked: Arc<Mutex<Answers>>,
    /// Who is whom at and below which place; before all else.
    identities: BTreeMap<String, Identity>,
}

impl CredentialStore {
    /// Knows nobody.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Looks where podman and docker look: the file `REGISTRY_AUTH_FILE` names, else the
    /// `containers/auth.json` of runtime and configuration folder and docker's `config.json`, with
    /// the credential helpers they name. Files that do not exist are passed over.
    ///
    /// # Errors
    /// A file that is there and cannot be read or understood.
    pub fn ambient() -> Result<Self, Error> {
        Self::from_first_of(&places(&|name| std::env::var_os(name)))
    }

    /// Reads one auth file of podman or docker.
    ///
    /// # Errors
    /// A file that is missing or not understood.
    pub fn read_authfile(path: &Path) -> Result<Self, Error> {
        let file = AuthFile::read(path)?.ok_or_else(|| Error::AuthFile {
            path: path.display().to_string(),
            reason: "there is no such file".to_owned(),
        })?;
        Ok(Self { files: vec![file], ..Self::default() })
    }

    /// Runs no credential helper, whatever the files say.
    #[must_use]
    pub fn without_helpers(mut self) -> Self {
        for file in &mut self.files {
            file.helpers.clear();
            file.store = None;
        }
        self
    }

    /// Adds credentials for a registry, or for the repositories at and below `prefix` in it. They
    /// come before those of files.
    pub fn add(&mut self, registry: &Registry, prefix: Option<&str>, credentials: Credentials) {
        let key = match prefix.map(|prefix| prefix.trim_matches('/')) {
            Some(prefix) if !prefix.is_empty() => format!("{}/{prefix}", key(registry)),
            _ => key(registry),
        };
        self.added.entries.insert(key, credentials);
    }

    /// Says who one is for the repositories at and below `prefix` of a registry.
    ///
    /// # Errors
    /// The other name that one has there already.
    pub fn identify(
        &mut self,
        registry: &Registry,
        prefix: Option<&str>,
        identity: &Identity,
    ) -> Result<(), String> {
        let key = prefix.map_or_else(|| key(registry), |it| format!("{}/{it}", key(registry)));
        match self.identities.insert(key, identity.clone()) {
            Some(other) if other.name != identity.name => Err(other.name),
            _ => Ok(()),
        }
    }

    /// The name one has for a repository, where one was given.
    #[must_use]
    pub fn identity(&self, registry: &Registry, name: &RepositoryName) -> Option<&str> {
        let identity = longest_prefix(&self.identities, &key(registry), Some(name))?;
        Some(&identity.name)
    }

    /// The credentials for a repository: those with the longest prefix that fits, of the first
    /// place that has any.
    ///
    /// # Errors
    /// A credential helper that fails.
    pub async fn lookup(
        &self,
        registry: &Registry,
        name: &RepositoryName,
    ) -> Result<Option<Credentials>, Error> {
        self.find(registry, Some(name)).await
    }

    /// The credentials for a whole registry, not only for a part of it.
    ///
    /// # Errors
    /// A credential helper that fails.
    pub async fn lookup_registry(&self, registry: &Registry) -> Result<Option<Credentials>, Error> {
        self.find(registry, None).await
    }

    async fn find(
        &self,
        registry: &Registry,
        name: Option<&RepositoryName>,
    ) -> Result<Option<Credentials>, Error> {
        let registry_key = key(registry);
        if let Some(identity) = longest_prefix(&self.identities, &registry_key, name) {
            return identity.find(registry, name).await;
        }
        for file in std::iter::once(&self.added).chain(&self.files) {
            let helper = file.helpers.get(&registry_key).or(file.store.as_ref());
            if let Some(helper) = helper
                && let Some(found) = self.ask(helper, registry).await?
            {
                return Ok(Some(found));
            }
            if let Some(found) = longest_prefix(&file.entries, &registry_key, name) {
                return Ok(Some(found.clone()));
            }
        }
        Ok(None)
    }

    async fn ask(&self, helper: &str, registry: &Registry) -> Result<Option<Credentials>, Error> {
        let server = if registry.is_docker_hub() {
            "https://index.docker.io/v1/".to_owned()
        } else {
            key(registry)
        };
        let mut asked = self.asked.lock().await;
        let question = (helper.to_owned(), server);
        if let Some(known) = asked.get(&question) {
            return Ok(known.clone());
        }
        let found = helper::ask(helper, &question.1).await?;
        asked.insert(question, found.clone());
        Ok(found)
    }

    fn from_first_of(paths: &[PathBuf]) -> Result<Self, Error> {
        let read: Result<Vec<_>, _> = paths.iter().map(|path| AuthFile::read(path)).collect();
        Ok(Self { files: read?.into_iter().flatten().collect(), ..Self::default() })
    }
}

fn longest_prefix<'a, T>(
    entries: &'a BTreeMap<String, T>,
    registry_key: &str,
    name: Option<&RepositoryName>,
) -> Option<&'a T> {
    let whole = match name {
        Some(name) => format!("{registry_key}/{name}"),
        None => registry_key.to_owned(),
    };
    let mut candidate = whole.as_str();
    loop {
        if let Some(found) = entries.get(candidate) {
            return Some(found);
        }
        candidate = candidate.rsplit_once('/')?.0;
    }
}

/// The auth files in their order of precedence (containers-auth.json(5), podman-login(1)).
fn places(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let folder = |name: &str| {
        let value = variable(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    if let Some(file) = folder("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = folder("HOME");
    let runtime = folder("XDG_RUNTIME_DIR").map_or_else(
        || PathBuf::from(format!("/run/containers/{}", rustix::process::getuid().as_raw())),
        |folder| folder.join("containers"),
    );
    let config =
        folder("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
    let docker = folder("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
    let mut places = vec![runtime.join("auth.json")];
    places.extend(config.map(|folder| folder.join("containers/auth.json")));
    places.extend(docker.map(|folder| folder.join("config.json")));
    places
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn found(store: &CredentialStore, image: &str) -> Option<String> {
        let image: crate::oci::ImageReference = image.parse().unwrap();
        let found = store.lookup(&image.registry, &image.repository).await;
        found.unwrap().map(|credentials| credentials.username)
    }

    fn store(keys: &[(&str, Option<&str>)]) -> CredentialStore {
        let mut store = CredentialStore::empty();
        for (registry, prefix) in keys {
            let user = format!("{registry}/{}", prefix.unwrap_or_default());
            store.add(&registry.parse().unwrap(), *prefix, Credentials::new(user, "p"));
        }
        store
    }

    #[tokio::test]
    async fn credentials_are_for_exactly_their_host_and_port() {
        let store = store(&[("h.example:5000", None), ("docker.io", None), ("q.io", Some("org"))]);
        for image in [
            "h.example/x",
            "h.example:5001/x",
            "sub.h.example:5000/x",
            "h.example.evil:5000/x",
            "q.io/organisation/x",
            "q.io/x",
        ] {
            assert_eq!(found(&store, image).await, None, "{image}");
        }
        assert!(found(&store, "h.example:5000/x").await.is_some());
        assert!(found(&store, "busybox").await.is_some());
        assert!(found(&store, "registry-1.docker.io/library/x").await.is_some());
    }

    #[tokio::test]
    async fn the_longest_prefix_wins() {
        let store = store(&[
            ("quay.io:443", None),
            ("quay.io", Some("org/")),
            ("quay.io", Some("org/a/b")),
        ]);
        for (image, user) in [
            ("quay.io/other/x", "quay.io:443/"),
            ("quay.io/org/x", "quay.io/org/"),
            ("quay.io/org/a/bb", "quay.io/org/"),
            ("quay.io/org/a/b", "quay.io/org/a/b"),
            ("quay.io/org/a/b/c", "quay.io/org/a/b"),
        ] {
            assert_eq!(found(&store, image).await.as_deref(), Some(user), "{image}");
        }
    }

    #[tokio::test]
    async fn a_missing_helper_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, r#"{"credHelpers":{"gcr.io":"does-not-exist"}}"#).unwrap();
        let store = CredentialStore::read_authfile(&path).unwrap();
        let registry = "gcr.io".parse().unwrap();
        let error = store.lookup_registry(&registry).await.unwrap_err();
        assert!(error.to_string().contains("docker-credential-does-not-exist"), "{error}");
        assert_eq!(found(&store, "quay.io/x").await, None);
        assert_eq!(found(&store.without_helpers(), "gcr.io/x").await, None);
    }

    #[test]
    fn a_named_auth_file_must_exist() {
        assert!(CredentialStore::read_authfile(Path::new("/nonexistent/auth.json")).is_err());
    }

    #[test]
    fn looks_where_podman_and_docker_look() {
        let places = |variables: &[(&str, &str)]| -> Vec<String> {
            let variables: HashMap<String, String> = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let found = places(&|name| variables.get(name).map(OsString::from));
            found.iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(places(&[("REGISTRY_AUTH_FILE", "/a"), ("HOME", "/h")]), ["/a"]);
        assert_eq!(
            places(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")]),
            [
                "/r/containers/auth.json",
                "/h/.config/containers/auth.json",
                "/h/.docker/config.json"
            ]
        );
        assert_eq!(
            places(&[("DOCKER_CONFIG", "/d"), ("XDG_RUNTIME_DIR", "/r")]),
            ["/r/containers/auth.json", "/d/config.json"]
        );
    }
}
