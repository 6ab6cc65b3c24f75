//! Asks the registries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::held::{Builder, Inventory};
use crate::client::{self, Client, Extended, Repository};
use crate::oci::{Reference, Registry, Tag};
use crate::promoter::Error;
use crate::promoter::edges::Edges;
use crate::promoter::place::{Failed, place};
use crate::promoter::plan::needs_source;
use crate::promoter::sha256::Sha256;

/// Registries whose lists tell no digests are not asked for a list where so few tags are wanted.
const FEW: usize = 2;

/// Asks the registries for what edges need to know.
pub struct Asking<'a> {
    client: &'a Client,
    parallel: usize,
    keep_going: bool,
    /// Whether the lists of a registry tell digests, where that is known.
    tells_digests: Mutex<HashMap<Registry, bool>>,
    /// Registries that there was no connection to, and why.
    unreachable: Mutex<HashMap<Registry, String>>,
}

/// What is to be known of one repository.
#[derive(Debug, Default)]
struct Wanted<'e> {
    tags: BTreeSet<&'e str>,
    digests: BTreeSet<Sha256>,
}

/// What one repository holds of it, or more.
#[derive(Debug, Default)]
struct Found {
    digests: Vec<Sha256>,
    tags: Vec<(Tag, Sha256)>,
}

impl<'a> Asking<'a> {
    /// So many questions at once; a repository that cannot be asked may be no reason to stop.
    #[must_use]
    pub fn new(client: &'a Client, parallel: usize, keep_going: bool) -> Self {
        Self {
            client,
            parallel: parallel.max(1),
            keep_going,
            tells_digests: Mutex::default(),
            unreachable: Mutex::default(),
        }
    }

    /// What is in the repositories of all edges, destinations first: of their sources only those are asked
    /// that may be read from. Repositories that could not be asked are told.
    ///
    /// # Errors
    /// A repository that cannot be asked, unless the rest is to be done all the same.
    pub async fn inventory(&self, edges: &Edges) -> Result<(Inventory, Vec<Failed>), Error> {
        let mut destinations: BTreeMap<u32, Wanted<'_>> = BTreeMap::new();
        for edge in edges.list() {
            let wanted = destinations.entry(edge.destination).or_default();
            match edges.tag(edge.tag) {
                Some(tag) => drop(wanted.tags.insert(tag)),
                None => wanted.digests.extend(edges.digest(edge.digest)),
            }
        }
        let mut builder = Builder::new(edges);
        let mut failed = self.ask_all(edges, destinations, &mut builder).await?;
        let inventory = builder.finish();
        let mut sources: BTreeMap<u32, Wanted<'_>> = BTreeMap::new();
        for edge in edges.list().iter().filter(|edge| needs_source(**edge, &inventory)) {
            let wanted = sources.entry(edge.source).or_default();
            wanted.digests.extend(edges.digest(edge.digest));
        }
        let mut builder = Builder::again(edges, inventory);
        failed.extend(self.ask_all(edges, sources, &mut builder).await?);
        Ok((builder.finish(), failed))
    }

    async fn ask_all(
        &self,
        edges: &Edges,
        wanted: BTreeMap<u32, Wanted<'_>>,
        builder: &mut Builder<'_>,
    ) -> Result<Vec<Failed>, Error> {
        let questions = wanted.into_iter().map(async |(number, wanted)| {
            let path = edges.repository(number);
            let (registry, name) = place(path)?;
            // It would take as long again for each of its repositories.
            if let Some(reason) = lock(&self.unreachable).get(&registry) {
                return Ok((number, Err(Failed::new(path, reason))));
            }
            let repository = self.client.repository(&registry, &name);
            match self.ask(&repository, &wanted).await {
                Ok(found) => Ok((number, Ok(found))),
                Err(error) if self.keep_going => {
                    if error.is_unreachable() {
                        lock(&self.unreachable).insert(registry, error.to_string());
                    }
                    Ok((number, Err(Failed::new(path, &error))))
                }
                Err(error) => Err(Error::from(error)),
            }
        });
        let mut answers = stream::iter(questions).buffer_unordered(self.parallel);
        let mut failed = Vec::new();
        while let Some((number, found)) = answers.try_next().await? {
            match found {
                Ok(found) => {
                    found.digests.iter().for_each(|digest| builder.holds(number, *digest));
                    for (tag, digest) in &found.tags {
                        builder.tagged(number, tag.as_str(), *digest);
                    }
                }
                Err(failure) => failed.push(failure),
            }
        }
        failed.sort_by(|left, right| left.item.cmp(&right.item));
        Ok(failed)
    }

    async fn ask(
        &self,
        repository: &Repository,
        wanted: &Wanted<'_>,
    ) -> Result<Found, client::Error> {
        let known = self.known(repository.registry());
        let few = wanted.tags.len() <= FEW;
        let has_list = known != Some(false) || !few;
        let listing = match has_list {
            true => repository.listing().await?,
            false => None,
        };
        let mut found = Found::default();
        let tags: Vec<Tag> = match listing {
            Some(listing) => {
                self.learn(repository.registry(), listing.extended.is_some());
                if let Some(extended) = listing.extended {
                    found.all(extended);
                    return Ok(found);
                }
                listing.tags.into_iter().filter(|tag| wanted.tags.contains(tag.as_str())).collect()
            }
            // Google's registries list every digest, so this one is not there.
            None if known == Some(true) => return Ok(found),
            // It has no tags. distribution says so also of a repository that has only digests.
            None if has_list => Vec::new(),
            None => wanted.tags.iter().filter_map(|tag| tag.parse().ok()).collect(),
        };
        let tags = tags.into_iter().map(|tag| (Reference::from(tag.clone()), Some(tag)));
        let digests = wanted.digests.iter();
        let digests =
            digests.map(|digest| (Reference::from(crate::oci::Digest::from(*digest)), None));
        let heads: Vec<_> = stream::iter(tags.chain(digests))
            .map(async |(reference, tag)| Ok((tag, repository.head(&reference).await?)))
            .buffer_unordered(self.parallel)
            .try_collect::<Vec<_>>()
            .await?;
        for (tag, head) in heads {
            // A digest of another kind is none of ours.
            let digest = head.and_then(|head| head.digest.as_str().parse::<Sha256>().ok());
            if let Some(digest) = digest {
                found.digests.push(digest);
                found.tags.extend(tag.map(|tag| (tag, digest)));
            }
        }
        Ok(found)
    }

    fn known(&self, registry: &Registry) -> Option<bool> {
        lock(&self.tells_digests).get(registry).copied()
    }

    fn learn(&self, registry: &Registry, tells_digests: bool) {
        lock(&self.tells_digests).insert(registry.clone(), tells_digests);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Found {
    fn all(&mut self, extended: Extended) {
        for manifest in extended.manifests {
            let Ok(digest) = manifest.digest.as_str().parse() else { continue };
            self.digests.push(digest);
            self.tags.extend(manifest.tags.into_iter().map(|tag| (tag, digest)));
        }
    }
}
