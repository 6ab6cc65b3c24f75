use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::Verdict;
use super::flight::Flights;
use super::manifests::{absent, does_not_have_it, fetch, judged, keep, not_fetched};
use super::source::Source;
use super::{Error, Layer};
use crate::oci::{Reference, RepositoryName, Tag};
use crate::storage::StoredManifest;

/// How many tags are remembered as looked at; of others it is looked at them again.
const REMEMBERED: usize = 10_000;

type Key = (&'static str, RepositoryName, Tag);

/// Tags of other registries: kept for a while, then looked at again by HEAD.
#[derive(Default)]
pub(super) struct Freshness {
    looks: Flights<Key, (Layer, StoredManifest)>,
    /// Until when each is believed.
    believed: Arc<Mutex<HashMap<Key, Instant>>>,
}

impl Freshness {
    /// What a tag stands for: what is kept while it is believed, else what its registry says now. If
    /// that cannot be asked, what is kept; never if it says that there is no such tag, or not for us.
    pub(super) async fn manifest(
        &self,
        source: Source,
        repository: &RepositoryName,
        tag: &Tag,
        ttl: Duration,
    ) -> Result<(Layer, StoredManifest), Error> {
        let key = (source.shelf.name, repository.clone(), tag.clone());
        if self.is_believed(&key)
            && let Some(kept) = kept(&source, repository, tag).await
        {
            return Ok((source.kept, kept));
        }
        let look = Look {
            source,
            repository: repository.clone(),
            tag: tag.clone(),
            believed: Arc::clone(&self.believed),
            key: key.clone(),
            ttl,
        };
        self.looks.join(key, || look.run()).await
    }

    fn is_believed(&self, key: &Key) -> bool {
        lock(&self.believed).get(key).is_some_and(|until| Instant::now() < *until)
    }
}

/// One look at a tag.
struct Look {
    source: Source,
    repository: RepositoryName,
    tag: Tag,
    believed: Arc<Mutex<HashMap<Key, Instant>>>,
    key: Key,
    ttl: Duration,
}

impl Look {
    async fn run(self) -> Result<(Layer, StoredManifest), Error> {
        let Some(older) = kept(&self.source, &self.repository, &self.tag).await else {
            let first = self.first().await;
            let first = first.inspect_err(|error| not_fetched(&self.repository, &self.tag, error));
            return Ok((self.source.layer, first?));
        };
        let failed = match self.again(&older).await {
            Ok(answer) => {
                if answer.as_ref().is_err_and(Error::is_absence) {
                    // It shall not come back when the other side is down the next time.
                    let _ = self.source.shelf.store.tag_delete(&self.repository, &self.tag).await;
                }
                return answer.inspect_err(|error| not_fetched(&self.repository, &self.tag, error));
            }
            Err(error) => error,
        };
        tracing::warn!(repository = %self.repository, tag = %self.tag, error = %failed, "answered from what was kept");
        if let Some(health) = &self.source.health {
            health.served_stale(&failed);
        }
        Ok((self.source.kept, older))
    }

    async fn first(&self) -> Result<StoredManifest, Error> {
        let Self { source, repository, tag, .. } = self;
        let asking = source.may_ask(false)?;
        let reference = Reference::Tag(tag.clone());
        let answer = asking.repository.manifest(&reference).await;
        let manifest = match asking.heard(answer) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => return Err(absent(repository, &reference, does_not_have_it(source))),
            Err(error) => return Err(judged(source, repository, &reference, &error)),
        };
        source.fetched(manifest.bytes().len() as u64);
        let stored =
            keep(source, repository, &manifest, manifest.digest(), vec![tag.clone()]).await;
        self.believe();
        Ok(stored)
    }

    /// The outer error is one for which what was kept is served; the inner one is the answer.
    async fn again(
        &self,
        older: &StoredManifest,
    ) -> Result<Result<(Layer, StoredManifest), Error>, Error> {
        let Self { source, repository, tag, .. } = self;
        let asking = source.may_ask(true)?.impatient();
        let reference = Reference::Tag(tag.clone());
        let answer = asking.repository.head(&reference).await;
        let head = match asking.heard(answer) {
            Ok(Some(head)) => head,
            Ok(None) => {
                return Ok(Err(absent(repository, &reference, does_not_have_it(source))));
            }
            Err(error) => match Verdict::of(&source.place, &error) {
                Verdict::Unreachable(error) => return Err(error),
                _ => return Ok(Err(judged(source, repository, &reference, &error))),
            },
        };
        if head.digest == older.digest {
            self.believe();
            return Ok(Ok((source.kept, older.clone())));
        }
        match fetch(source, repository, &head.digest, vec![tag.clone()]).await {
            Ok(stored) => {
                self.believe();
                Ok(Ok((source.layer, stored)))
            }
            Err(error @ (Error::Failed { .. } | Error::Resting { .. })) => Err(error),
            Err(error) => Ok(Err(error)),
        }
    }

    fn believe(&self) {
        let now = Instant::now();
        let mut believed = lock(&self.believed);
        if believed.len() >= REMEMBERED {
            believed.retain(|_, until| now < *until);
        }
        if believed.len() < REMEMBERED {
            believed.insert(self.key.clone(), now + self.ttl);
        }
    }
}

async fn kept(source: &Source, repository: &RepositoryName, tag: &Tag) -> Option<StoredManifest> {
    let store = &source.shelf.store;
    let (state, manifest) = store.manifest_tagged(repository, tag).await.ok()?;
    let manifest = manifest.ok()?;
    store.manifest_used(repository, &state.digest);
    Some(manifest)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
