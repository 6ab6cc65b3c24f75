use std::sync::Arc;

use super::health::UpstreamHealth;
use super::upstream::Upstream;
use super::{Error, Layer, Lead, Lower, Speculative};
use crate::client;
use crate::storage::Storage;

/// Where something of a repository is fetched from, and where it is kept.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) shelf: Shelf,
    pub(super) repository: client::Repository,
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
            health: Some(Arc::clone(&upstream.health)),
            layer: Layer::Upstream,
            kept: Layer::Cache,
        }
    }
}

impl Source {
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
