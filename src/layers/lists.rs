use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::error::{Verdict, is_absent};
use super::flight::Flights;
use super::manifests::judged;
use super::source::Source;
use super::{Error, Layers, Reader};
use crate::oci::{Digest, Reference, RepositoryName, Tag};
use crate::storage::{Page, Paging};

/// How many lists of tags are remembered, and how long those may be.
const REMEMBERED: usize = 8;
const LONGEST_REMEMBERED: usize = 10_000;

/// A list of tags, and until when it is believed.
type Believed = (Instant, Arc<Vec<Tag>>);
type Key = (&'static str, RepositoryName);

/// The lists of tags of other registries; clients ask for them page by page.
#[derive(Default)]
pub(super) struct TagLists {
    asking: Flights<Key, Arc<Vec<Tag>>>,
    believed: Arc<Mutex<HashMap<Key, Believed>>>,
}

impl Layers {
    /// The tags all layers have, in byte order. A registry that does not answer is left out where
    /// another layer knows the repository.
    ///
    /// # Errors
    /// No layer knows the repository, or the reader may not read what the one that does has.
    pub async fn tags(
        &self,
        reader: Reader,
        repository: &RepositoryName,
        paging: Paging,
    ) -> Result<Page<Tag>, Error> {
        let sources = self.sources(reader, repository).await;
        if sources.list.is_empty() && sources.barred.is_none() {
            return Ok(self.local.tags(repository, paging).await?);
        }
        let mut tags = BTreeSet::new();
        let mut missing = None;
        match self.local.tags(repository, Paging::default()).await {
            Ok(page) => tags.extend(page.entries),
            Err(error) if is_absent(&error) => missing = Some(Error::from(error)),
            Err(error) => return Err(error.into()),
        }
        if let Some(speculative) = &self.speculative {
            let leads = speculative.pointers.of_repository(repository).await;
            if !leads.is_empty() {
                missing = None;
            }
            tags.extend(leads.into_iter().map(|lead| lead.tag));
        }
        if let Some(lower) = &self.lower
            && let Some((upstream, at)) = lower.upstreams.of(repository)
            && upstream.serves(reader)
        {
            let source = lower.source(upstream, at);
            match lower.lists.tags(&source, repository, upstream.ttl).await {
                Ok(listed) => {
                    missing = None;
                    tags.extend(listed.iter().cloned());
                }
                Err(error) => {
                    tracing::warn!(%repository, %error, "tags are listed without those from below");
                    match source.shelf.store.tags(repository, Paging::default()).await {
                        Ok(page) if !error.is_absence() => {
                            missing = None;
                            tags.extend(page.entries);
                        }
                        _ => missing = missing.map(|told| told.or(error)),
                    }
                }
            }
        }
        match missing {
            Some(told) => Err(sources.nobody(told)),
            None => Ok(Page::cut(tags, &paging)),
        }
    }

    /// The descriptors (JSON) of the manifests that any layer has attached to `subject`, local ones
    /// first. A registry that does not answer is left out.
    ///
    /// # Errors
    /// The store fails.
    pub async fn referrers(
        &self,
        reader: Reader,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Bytes>, Error> {
        let local = self.local.referrers(repository, subject).await?;
        let sources = self.sources(reader, repository).await;
        if sources.list.is_empty() {
            return Ok(local);
        }
        let mut union = Union::default();
        union.extend(local);
        let mut shelves = HashSet::new();
        for source in &sources.list {
            if shelves.insert(source.shelf.name) {
                let kept = source.shelf.store.referrers(repository, subject).await;
                union.extend(kept.unwrap_or_default());
            }
            match asked(source, repository, subject).await {
                Ok(listed) => union.extend(listed),
                Err(error) => {
                    tracing::warn!(%repository, %subject, %error, "referrers are listed without those from below");
                }
            }
        }
        Ok(union.descriptors)
    }
}

impl TagLists {
    async fn tags(
        &self,
        source: &Source,
        repository: &RepositoryName,
        ttl: Duration,
    ) -> Result<Arc<Vec<Tag>>, Error> {
        let key = (source.shelf.name, repository.clone());
        let known = {
            let believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
            believed.get(&key).filter(|(until, _)| Instant::now() < *until).cloned()
        };
        if let Some((_, tags)) = known {
            return Ok(tags);
        }
        let (source, repository) = (source.clone(), repository.clone());
        let (believed, remember) = (Arc::clone(&self.believed), key.clone());
        let ask = || async move {
            let asking = source.may_ask(true)?.impatient();
            let answer = asking.repository.tags().await;
            let tags = match asking.heard(answer) {
                Ok(tags) => Arc::new(tags),
                Err(error) => {
                    return Err(match Verdict::of(&source.place, &error) {
                        Verdict::Absent(_) => {
                            crate::storage::Error::RepositoryUnknown(repository).into()
                        }
                        Verdict::Unreachable(error) | Verdict::Broken(error) => error,
                    });
                }
            };
            if tags.len() <= LONGEST_REMEMBERED {
                let now = Instant::now();
                let mut believed = believed.lock().unwrap_or_else(PoisonError::into_inner);
                believed.retain(|_, (until, _)| now < *until);
                if believed.len() < REMEMBERED {
                    believed.insert(remember, (now + ttl, Arc::clone(&tags)));
                }
            }
            Ok(tags)
        };
        self.asking.join(key, ask).await
    }
}

async fn asked(
    source: &Source,
    repository: &RepositoryName,
    subject: &Digest,
) -> Result<Vec<Bytes>, Error> {
    let asking = source.may_ask(true)?.impatient();
    let answer = asking.repository.referrers(subject).await;
    let listed = asking
        .heard(answer)
        .map_err(|error| judged(source, repository, &Reference::Digest(subject.clone()), &error))?;
    let described = |value: &Value| {
        let digest = value["digest"].as_str().is_some_and(|text| text.parse::<Digest>().is_ok());
        digest && value["mediaType"].is_string() && value["size"].is_u64()
    };
    let listed = listed.iter().filter(|value| described(value));
    Ok(listed.filter_map(|value| serde_json::to_vec(value).ok()).map(Bytes::from).collect())
}

/// Descriptors, each digest once; the first one counts.
#[derive(Default)]
struct Union {
    seen: HashSet<String>,
    descriptors: Vec<Bytes>,
}

impl Union {
    fn extend(&mut self, descriptors: Vec<Bytes>) {
        for descriptor in descriptors {
            let value: Option<Value> = serde_json::from_slice(&descriptor).ok();
            let digest = value.as_ref().and_then(|value| value["digest"].as_str());
            if digest.is_some_and(|digest| self.seen.insert(digest.to_owned())) {
                self.descriptors.push(descriptor);
            }
        }
    }
}
