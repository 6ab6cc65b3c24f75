//! The client's side of the distribution-spec: manifests, blobs, tags of one repository.
//!
//! Every request is authenticated as its registry wants (distribution, "Token Authentication
//! Specification"; RFC 7617), every byte that has a digest is checked against it, and what has been
//! learnt about a registry – how it authenticates, which tokens are valid – is kept for the next
//! request. What to move where is decided in `copy`; connections and retries are `http`'s.

mod access;
mod catalog;
mod download;
mod error;
mod extension;
mod known;
mod listing;
mod manifests;
mod moves;
mod pages;
mod realm;
mod referrers;
mod repository;
mod resume;
mod scopes;
mod single;
mod tags;
mod token;
mod upload;

use std::sync::Arc;

pub use self::download::{BlobStream, OpenBlob};
pub use self::error::Error;
pub use self::extension::Said;
pub use self::listing::{Extended, ListedManifest, Listing};
pub use self::manifests::ManifestHead;
pub use self::moves::{Sight, TagMove};
pub use self::repository::Repository;
pub use self::tags::Deleted;
pub use self::upload::Pushed;

use self::access::Access;
use crate::auth::{CredentialStore, Credentials};
use crate::http::{Http, Statistics};
use crate::oci::{ImageReference, Registry, RepositoryName};

/// Speaks to registries; clones share connections, tokens and counters.
#[derive(Debug, Clone)]
pub struct Client {
    access: Arc<Access>,
}

impl Client {
    /// A client over `http` with these credentials.
    #[must_use]
    pub fn new(http: Http, credentials: CredentialStore) -> Self {
        Self { access: Arc::new(Access::new(http, credentials)) }
    }

    /// A repository of a registry. Nothing is sent.
    #[must_use]
    pub fn repository(&self, registry: &Registry, name: &RepositoryName) -> Repository {
        Repository::new(Arc::clone(&self.access), registry.clone(), name.clone())
    }

    /// The repository of an image. Nothing is sent.
    #[must_use]
    pub fn image(&self, image: &ImageReference) -> Repository {
        self.repository(&image.registry, &image.repository)
    }

    /// The connections it speaks over.
    #[must_use]
    pub fn http(&self) -> &Http {
        self.access.http()
    }

    /// The login for a whole registry, if one is known.
    ///
    /// # Errors
    /// A credential helper that fails.
    pub async fn login(&self, registry: &Registry) -> Result<Option<Credentials>, Error> {
        let doing = format!("looking for the login of {registry}");
        let found = self.access.login_of(registry).await;
        found.map_err(|source| Error::Credentials { doing, source })
    }

    /// What was sent and received so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.access.http().statistics()
    }
}
