use std::sync::Arc;

use super::health::UpstreamHealth;
use super::room::Room;
use super::silent::{Leave, Silent};
use super::upstream::Upstream;
use super::{Error, Layer, Layers, Lead, Lower, Sources, Speculative};
use crate::client;
use crate::oci::{Digest, RepositoryName, Tag};
use crate::storage::{Belongs, Storage};

/// What a fetch is known by: the shelf, the pointer it goes through, repository and content.
pub(super) type Key = (&'static str, Option<Tag>, RepositoryName, Digest);

/// Where something of a repository is fetched from, and where it is kept.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) shelf: Shelf,
    repository: client::Repository,
    /// For messages: the namespace, or the host and port.
    pub(super) place: String,
    pub(super) health: Option<Arc<UpstreamHealth>>,
    /// Which registries do not answer, where nobody watches them more closely.
    silent: Option<Arc<Silent>>,
    /// What is fetched now comes from here,
    pub(super) layer: Layer,
    /// and what is on the shelf from here.
    pub(super) kept: Layer,
    /// The image it is for, where it is a pointer's.
    pub(super) image: Option<Image>,
}

/// Leave to ask a source.
pub(super) struct Asking {
    /// Who is asked.
    pub(super) repository: client::Repository,
    leave: Option<Leave>,
}

/// What a pointer names.
#[derive(Debug, Clone)]
pub(super) struct Image {
    tag: Tag,
    digest: Digest,
    /// Whether nothing else can be had through the pointer.
    confined: bool,
}

/// How likely a source is to have something, the likeliest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Odds {
    /// It is known to be a part of the pointer's image.
    Has,
    /// Not all parts of the image are known.
    May,
    /// It is none of the image's parts, and the place may have it all the same.
    Hardly,
    /// Another registry, which comes last whatever it has.
    Below,
    /// It is none of the image's parts, and nothing else is given.
    Never,
}

/// A store below the local one.
#[derive(Clone)]
pub(super) struct Shelf {
    pub(super) name: &'static str,
    pub(super) store: Arc<dyn Storage>,
    pub(super) room: Arc<Room>,
}

impl Shelf {
    /// One that holds no more than `limit` bytes.
    pub(super) fn new(name: &'static str, store: Arc<dyn Storage>, limit: Option<u64>) -> Self {
        Self { name, store, room: Arc::new(Room::new(limit)) }
    }
}

impl Layers {
    /// The sources that can have something, the likeliest first: most images are read from their
    /// manifests down, so it is known which pointer leads to a blob.
    pub(super) async fn likely<'a>(
        &self,
        sources: &'a Sources,
        repository: &RepositoryName,
        wanted: &Digest,
    ) -> Vec<&'a Source> {
        let mut ranked = Vec::new();
        for source in &sources.list {
            let odds = match (&self.speculative, &source.image) {
                (Some(speculative), Some(image)) => {
                    speculative.odds(repository, image, wanted).await
                }
                _ => Odds::Below,
            };
            ranked.push((odds, source));
        }
        ranked.retain(|(odds, _)| *odds != Odds::Never);
        ranked.sort_by_key(|(odds, _)| *odds);
        ranked.into_iter().map(|(_, source)| source).collect()
    }
}

impl Speculative {
    async fn odds(&self, repository: &RepositoryName, image: &Image, wanted: &Digest) -> Odds {
        let store = &*self.shelf.store;
        match self.reach.has(store, repository, &image.digest, wanted).await {
            Ok(Belongs::Yes) => Odds::Has,
            Ok(Belongs::No) if image.confined => Odds::Never,
            Ok(Belongs::No) => Odds::Hardly,
            Ok(Belongs::Unknown) | Err(_) => Odds::May,
        }
    }

    pub(super) fn source(&self, lead: Lead) -> Source {
        Source {
            shelf: self.shelf.clone(),
            place: lead.source.registry().to_string(),
            repository: lead.source,
            health: None,
            silent: Some(Arc::clone(&self.silent)),
            layer: Layer::Speculative,
            kept: Layer::Speculative,
            image: Some(Image { tag: lead.tag, digest: lead.digest, confined: lead.confined }),
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
            silent: None,
            layer: Layer::Upstream,
            kept: Layer::Cache,
            image: None,
        }
    }
}

impl Source {
    pub(super) fn key(&self, repository: &RepositoryName, digest: &Digest) -> Key {
        let through = self.image.as_ref().map(|image| image.tag.clone());
        (self.shelf.name, through, repository.clone(), digest.clone())
    }

    /// The same, asked once only.
    pub(super) fn impatient(mut self) -> Self {
        self.repository = self.repository.impatient();
        self
    }

    /// Leave to ask there for who has something older to go by, or nothing.
    pub(super) fn may_ask(&self, has_older: bool) -> Result<Asking, Error> {
        if let Some(health) = &self.health {
            health.may_ask(has_older)?;
        }
        let mut repository = self.repository.clone();
        let silent = self.silent.as_ref();
        let leave = silent.map(|silent| silent.may_ask(repository.registry())).transpose()?;
        if leave.as_ref().is_some_and(|leave| leave.is_trial) {
            repository = repository.impatient();
        }
        Ok(Asking { repository, leave })
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

impl Asking {
    /// The same, asked once only.
    pub(super) fn impatient(mut self) -> Self {
        self.repository = self.repository.impatient();
        self
    }

    /// Takes in what came of it.
    pub(super) fn heard<T>(self, answer: Result<T, client::Error>) -> Result<T, client::Error> {
        if let Some(leave) = self.leave {
            leave.used(answer.as_ref().err());
        }
        answer
    }
}
