use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::OnceCell;

use super::plan::{Place, place};
use crate::client::{self, Repository};
use crate::oci::{Descriptor, Digest, Manifest, Reference, Registry, RepositoryName, Tag};

/// What the registries of a run hold. Each tag is looked at once and each manifest, list of tags and list of
/// referrers read once, however many items ask, so that all of them see the same image behind the same tag.
#[derive(Debug, Default)]
pub(super) struct Sources {
    heads: Cells<Key, Option<Digest>>,
    manifests: Cells<Key, Option<Manifest>>,
    /// What destinations have beside it.
    images: Cells<Key, bool>,
    tags: Cells<Place, Option<Tags>>,
    /// By the registry's own list, and by tags.
    listed_referrers: Cells<Key, Option<List>>,
    tagged_referrers: Cells<Key, List>,
}

type Key = (Registry, RepositoryName, Reference);
type Tags = Arc<HashSet<Tag>>;
type List = Arc<Vec<Value>>;
type Cells<K, T> = Mutex<HashMap<K, Arc<OnceCell<T>>>>;

impl Sources {
    /// What a tag stands for; `None` if there is no such tag.
    pub(super) async fn digest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Digest>, client::Error> {
        let key = key(repository, reference);
        if let Some(Some(manifest)) = cell(&self.manifests, key.clone()).get() {
            return Ok(Some(manifest.digest().clone()));
        }
        let look = async || {
            let head = repository.head(reference).await?;
            Ok(head.map(|head| head.digest))
        };
        cell(&self.heads, key).get_or_try_init(look).await.cloned()
    }

    /// A manifest; `None` if it is not there.
    pub(super) async fn manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<Manifest>, client::Error> {
        let cell = cell(&self.manifests, key(repository, reference));
        let read = async || repository.manifest(reference).await;
        cell.get_or_try_init(read).await.cloned()
    }

    /// Whether a destination has an image of an index, in the type and size that the index says.
    pub(super) async fn has_image(
        &self,
        repository: &Repository,
        child: &Descriptor,
    ) -> Result<bool, client::Error> {
        let reference = Reference::from(child.digest.clone());
        let look = async || {
            let there = repository.head(&reference).await?;
            Ok(there.is_some_and(|there| {
                there.media_type.as_ref() == Some(&child.media_type)
                    && there.size.is_none_or(|size| size == child.size)
            }))
        };
        let cell = cell(&self.images, key(repository, &reference));
        cell.get_or_try_init(look).await.copied()
    }

    /// All tags; `None` if the registry does not tell them.
    pub(super) async fn tags(
        &self,
        repository: &Repository,
    ) -> Result<Option<Tags>, client::Error> {
        let list = async || match repository.tags().await {
            Ok(tags) => Ok(Some(Arc::new(tags.into_iter().collect()))),
            Err(error) if error.is_answer() => {
                tracing::warn!("{error}; signatures are looked for by their names");
                Ok(None)
            }
            Err(error) => Err(error),
        };
        cell(&self.tags, place(repository)).get_or_try_init(list).await.cloned()
    }

    /// As [`Repository::listed_referrers`].
    pub(super) async fn listed_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<List>, client::Error> {
        let list = async || Ok(repository.listed_referrers(subject).await?.map(Arc::new));
        let cell = cell(&self.listed_referrers, key(repository, &subject.clone().into()));
        cell.get_or_try_init(list).await.cloned()
    }

    /// As [`Repository::tagged_referrers`].
    pub(super) async fn tagged_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<List, client::Error> {
        let list = async || repository.tagged_referrers(subject).await.map(Arc::new);
        let cell = cell(&self.tagged_referrers, key(repository, &subject.clone().into()));
        cell.get_or_try_init(list).await.cloned()
    }

    /// Notes a list of tags that has been read already.
    pub(super) fn know_tags(&self, repository: &Repository, tags: &[Tag]) {
        let tags = Arc::new(tags.iter().cloned().collect());
        // Nobody has asked before.
        let _ = cell(&self.tags, place(repository)).set(Some(tags));
    }
}

fn key(repository: &Repository, reference: &Reference) -> Key {
    (repository.registry().clone(), repository.name().clone(), reference.clone())
}

fn cell<K: Eq + Hash, T>(cells: &Cells<K, T>, key: K) -> Arc<OnceCell<T>> {
    let mut cells = cells.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(cells.entry(key).or_default())
}
