use std::fmt;
use std::path::Path;

use super::Error;
use crate::oci::{Registry, RepositoryName};

/// A password or token. It is never shown: not by `Debug`, not in errors, not in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Who one is to a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The user's password.
    pub password: Secret,
}

/// Credentials by registry and repository prefix.
#[derive(Debug, Clone, Default)]
pub struct CredentialStore {}

impl Secret {
    /// Takes a secret in.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl CredentialStore {
    /// Knows nobody.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Looks where podman and docker look: `REGISTRY_AUTH_FILE`, the `auth.json` of containers,
    /// `~/.docker/config.json`, with their credential helpers.
    #[must_use]
    pub fn ambient() -> Self {
        todo!()
    }

    /// Reads an auth file of podman or docker.
    ///
    /// # Errors
    /// A file that is missing or not understood.
    pub fn read_authfile(path: &Path) -> Result<Self, Error> {
        let _ = path;
        todo!()
    }

    /// Adds credentials for a registry, or for the repositories below a prefix in it.
    pub fn add(&mut self, registry: &Registry, prefix: Option<&str>, credentials: Credentials) {
        let _ = (registry, prefix, credentials);
        todo!()
    }

    /// The credentials with the longest prefix that fits.
    ///
    /// # Errors
    /// A credential helper that fails.
    pub async fn lookup(
        &self,
        registry: &Registry,
        name: &RepositoryName,
    ) -> Result<Option<Credentials>, Error> {
        let _ = (registry, name);
        todo!()
    }
}
