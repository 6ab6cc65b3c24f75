//! Who answers a read: the first layer that has the name.
//!
//! *local* holds what was pushed here and always wins; below it may lie what *speculative* pointers
//! name, a *cache*, and the *upstream* registries it is filled from. This room decides which of them
//! answers, brings content from one to the other, and never lets a pull change what was pushed. Who
//! may read is `registry`'s, how bytes are kept is `storage`'s, how registries are spoken to is
//! `client`'s. All names are canonical.
//!
//! A fetch is a task of its own, however many ask for the same: blobs in `fill` and `fetch`, which readers
//! `follow`; manifests in `flight`. What lies below is kept on shelves, stores apart from the local
//! one: nothing that is fetched changes what was pushed, and they can be emptied at any time.

mod blobs;
mod bring;
mod error;
mod fetch;
mod fill;
mod flight;
mod follow;
mod health;
mod lists;
mod manifests;
mod pointers;
mod room;
mod settings;
mod silent;
mod source;
mod tags;
mod upstream;

use std::sync::Arc;
use std::time::SystemTime;

pub use self::error::Error;
use self::fill::Fills;
use self::flight::Flights;
pub use self::health::{RateLimit, UpstreamHealth, UpstreamReport};
use self::lists::TagLists;
pub use self::pointers::{Lead, Pointers};
pub use self::settings::{Limits, Namespace};
use self::silent::Silent;
use self::source::{Key, Shelf, Source};
use self::tags::Freshness;
pub use self::upstream::InvalidNamespace;
use self::upstream::Upstreams;
use crate::http::AddressPolicy;
use crate::oci::RepositoryName;
use crate::storage::{Reach, Storage, StoredManifest};
use crate::zuul::Origin;

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// What was pushed here.
    Local,
    /// What a pointer names.
    Speculative,
    /// What was fetched before.
    Cache,
    /// Fetched for this answer.
    Upstream,
}

/// Something that was asked for, and who has it.
#[derive(Debug, Clone, Copy)]
pub struct Found<T> {
    /// Who.
    pub layer: Layer,
    /// What.
    pub value: T,
}

/// A manifest, and when its tag was pushed where that is known.
#[derive(Debug, Clone)]
pub struct FoundManifest {
    /// Digest, type and bytes.
    pub manifest: StoredManifest,
    /// When its tag was last pushed here; nothing for what was asked by digest.
    pub modified: Option<SystemTime>,
    /// Which build its tag is from, where that is known; nothing for what was asked by digest.
    pub origin: Option<Origin>,
}

/// Who reads, as far as the layers need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Anybody.
    Anybody,
    /// Somebody who may read the repository by a login of this registry.
    Known,
}

/// The layers, uppermost first.
#[derive(Clone)]
pub struct Layers {
    local: Arc<dyn Storage>,
    speculative: Option<Speculative>,
    lower: Option<Lower>,
    fills: Arc<Fills>,
    fetching: Arc<Flights<Key, StoredManifest>>,
}

/// What pointers name.
#[derive(Clone)]
struct Speculative {
    pointers: Arc<dyn Pointers>,
    shelf: Shelf,
    /// Whom of the registries they are at nobody waits for.
    silent: Arc<Silent>,
    /// What of the images is known from their manifests on the shelf.
    reach: Arc<Reach>,
}

/// Other registries, and what was fetched from them.
#[derive(Clone)]
struct Lower {
    upstreams: Arc<Upstreams>,
    /// What anybody could have fetched.
    cache: Shelf,
    /// What a login of the site fetched.
    private: Shelf,
    tags: Arc<Freshness>,
    lists: Arc<TagLists>,
}

/// Where something of a repository may be had, in the order in which it is asked for.
struct Sources {
    list: Vec<Source>,
    /// Whose images the reader would have to log in for.
    barred: Option<String>,
}

impl Layers {
    /// Nothing below what was pushed.
    #[must_use]
    pub fn only(local: Arc<dyn Storage>, limits: Limits) -> Self {
        let fills = Fills::new(limits);
        Self { local, speculative: None, lower: None, fills, fetching: Arc::default() }
    }

    /// The stores that answer, uppermost first; the last holds what only readers with a login get. To look into them fetches nothing.
    #[must_use]
    pub fn stores(&self) -> Vec<(Layer, Arc<dyn Storage>)> {
        let mut stores = vec![(Layer::Local, Arc::clone(&self.local))];
        if let Some(speculative) = &self.speculative {
            stores.push((Layer::Speculative, Arc::clone(&speculative.shelf.store)));
        }
        if let Some(lower) = &self.lower {
            stores.push((Layer::Cache, Arc::clone(&lower.cache.store)));
            stores.push((Layer::Cache, Arc::clone(&lower.private.store)));
        }
        stores
    }

    /// Also what these pointers name; what is fetched for them is kept in `store`.
    #[must_use]
    pub fn with_pointers(mut self, pointers: Arc<dyn Pointers>, store: Arc<dyn Storage>) -> Self {
        let shelf = Shelf::new("speculative", store, self.fills.limits().total);
        let (silent, reach) = (Arc::default(), Arc::default());
        self.speculative = Some(Speculative { pointers, shelf, silent, reach });
        self
    }

    /// Also what these registries have. What is fetched with a login of the site is kept in `private`,
    /// all else in `cache`. Answers lead only to where `reach` lets them.
    ///
    /// # Errors
    /// Says which cannot be used, and why.
    pub fn with_upstreams(
        mut self,
        namespaces: &[Namespace],
        cache: Arc<dyn Storage>,
        private: Arc<dyn Storage>,
        reach: Option<&AddressPolicy>,
    ) -> Result<Self, InvalidNamespace> {
        let Limits { idle, total, .. } = *self.fills.limits();
        self.lower = Some(Lower {
            upstreams: Arc::new(Upstreams::new(namespaces, idle, reach)?),
            cache: Shelf::new("cache", cache, total),
            private: Shelf::new("private", private, total),
            tags: Arc::default(),
            lists: Arc::default(),
        });
        Ok(self)
    }

    /// The same without other registries: what was pushed here, and what pointers name.
    #[must_use]
    pub fn upper(&self) -> Self {
        Self { lower: None, ..self.clone() }
    }

    /// How the other registries do, by name.
    #[must_use]
    pub fn health(&self) -> Vec<UpstreamReport> {
        self.watched().iter().map(|health| health.report()).collect()
    }

    /// The other registries as they are watched, by name.
    #[must_use]
    pub fn watched(&self) -> Vec<Arc<UpstreamHealth>> {
        let all = self.lower.iter().flat_map(|lower| lower.upstreams.all());
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        all.into_iter().map(|upstream| Arc::clone(&upstream.health)).collect()
    }

    /// Where a repository's content may be had from below.
    async fn sources(&self, reader: Reader, repository: &RepositoryName) -> Sources {
        let mut sources = Sources { list: Vec::new(), barred: None };
        if let Some(speculative) = &self.speculative {
            let leads = speculative.pointers.of_repository(repository).await;
            sources.list.extend(leads.into_iter().map(|lead| speculative.source(lead)));
        }
        if let Some(lower) = &self.lower
            && let Some((upstream, at)) = lower.upstreams.of(repository)
        {
            match upstream.serves(reader) {
                true => sources.list.push(lower.source(upstream, at)),
                false => sources.barred = Some(upstream.name.to_string()),
            }
        }
        sources
    }
}

impl Sources {
    /// What to say when nobody has it: `told` is what the last one said.
    fn nobody(self, told: Error) -> Error {
        match self.barred {
            Some(namespace) if told.is_absence() => Error::LoginNeeded { namespace },
            _ => told,
        }
    }
}

impl Layer {
    /// One word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Speculative => "speculative",
            Self::Cache => "cache",
            Self::Upstream => "upstream",
        }
    }
}
