use std::sync::Arc;

use super::health::UpstreamHealth;
use super::upstream::Upstream;
use super::{Error, Layer, Lead, Lower, Speculative};
use crate::client;
use crate::oci::{Digest, RepositoryName};
use crate::storage::Storage;

/// What a fetch is known by: the shelf, the pointer it goes through, repository and content.
pub(super) type Key = (&'static str, Option<Digest>, RepositoryName, Digest);

/// Where something of a repository is fetched from, and where it is kept.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) shelf: Shelf,
    pub(super) repository: client::Repository,
    /// The image whose pointer leads there, if one does; it may open less than another.
    pub(super) through: Option<Digest>,
    /// For messages: the namespace, or the host and port.
    pub(super) place: String,
    pub(super) health: Option<Arc<UpstreamHealth>>,
    /// What is fetched now comes from here,
    pub(super) layer: Layer,
    /// and what is on the shelf from here.
    pub(super) kept: Layer,
}

/// A store below the local one.
#[derive(Clone)]
pub(super) struct Shelf {
    pub(super) name: &'static str,
    pub(super) store: Arc<dyn Storage>,
}

impl Speculative {
    pub(super) fn source(&self, lead: Lead) -> Source {
        Source {
            shelf: self.shelf.clone(),
            place: lead.source.registry().to_string(),
            repository: lead.source,
            through: Some(lead.digest),
            health: None,
            layer: Layer::Speculative,
            kept: Layer::Speculative,
        }
    }
}

impl Lower {
    pub(super) fn source(&self, upstream: &Upstream, at: client::Repository) -> Source {
        Source {
            shelf: if upstream.has_login { self.private.clone() } else { self.cache.clone() },
            place: upstream.name.to_string(),
            repository: at,
            through: None,
            health: Some(Arc::clone(&upstream.health)),
            layer: Layer::Upstream,
            kept: Layer::Cache,
        }
    }
}

impl Source {
    pub(super) fn key(&self, repository: &RepositoryName, digest: &Digest) -> Key {
        (self.shelf.name, self.through.clone(), repository.clone(), digest.clone())
    }

    /// Whether it may be asked by who has something older to go by, or nothing.
    pub(super) fn may_ask(&self, has_older: bool) -> Result<(), Error> {
        self.health.as_ref().map_or(Ok(()), |health| health.may_ask(has_older))
    }

    /// Counts bytes that came from there.
    pub(super) fn fetched(&self, bytes: u64) {
        if let Some(health) = &self.health {
            health.fetched(bytes);
        }
    }

    pub(super) fn failed(&self, reason: String) -> Error {
        Error::Failed { place: self.place.clone(), reason }
    }
}
