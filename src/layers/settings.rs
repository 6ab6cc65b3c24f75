use std::time::Duration;

use url::Url;

use crate::auth::CredentialStore;
use crate::oci::Registry;

/// A registry that is asked for what is not here.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// Its name in images: `docker.io`, `quay.io`, `host.example:5000`.
    pub name: Registry,
    /// Where it is: `https://HOST[:PORT][/PATH]`, `http` where it is spoken to without TLS. A path
    /// stands before every repository name, as proxies of several registries want it.
    pub url: Url,
    /// Certificates (PEM) it is believed by, beyond the system's roots, and so is where it leads: its token
    /// server, its store of blobs.
    pub ca: Option<Vec<u8>>,
    /// The site's login there.
    pub logins: CredentialStore,
    /// Whether there is such a login: what it fetched is not for everybody.
    pub has_login: bool,
    /// Whether everybody may have what the login fetched all the same.
    pub public: bool,
    /// How long a tag is believed before it is looked at again.
    pub ttl: Duration,
}

/// What may be kept of what was fetched, and how it is fetched.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest blob that is fetched, in bytes.
    pub blob: u64,
    /// How many bytes of blobs and manifests a cache may hold.
    pub total: Option<u64>,
    /// How long the other side may be silent.
    pub idle: Duration,
    /// How long a fetch goes on when nobody waits for it any more.
    pub grace: Duration,
}

impl Limits {
    /// The largest blob that can be kept, in bytes.
    pub(super) fn largest(&self) -> u64 {
        self.total.map_or(self.blob, |total| total.min(self.blob))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            blob: 64 * 1024 * 1024 * 1024,
            total: None,
            idle: Duration::from_secs(30),
            grace: Duration::from_secs(30),
        }
    }
}
