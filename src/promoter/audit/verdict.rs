use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;

use super::event::{Action, Event};
use super::expected::{Expected, Repository};
use crate::client::Client;
use crate::oci::Digest;
use crate::promoter::Error;
use crate::promoter::listing::Listing;
use crate::promoter::place::place;
use crate::promoter::sha256::Sha256;

/// What is thought of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether manifests agree with it.
    #[serde(rename = "verdict", serialize_with = "word")]
    pub verified: bool,
    /// Why, in few words.
    pub reason: String,
    /// `info`, `error`, or `alert` where something was deleted.
    pub severity: &'static str,
}

fn word<S: serde::Serializer>(verified: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *verified { "verified" } else { "rejected" })
}

/// Tells what indexes list. What a digest lists never changes, so each is read once.
#[derive(Debug)]
pub struct Children {
    from: Source,
    known: Mutex<HashMap<Sha256, Arc<BTreeSet<Sha256>>>>,
}

#[derive(Debug)]
enum Source {
    Registries(Client),
    /// By repository.
    File(HashMap<(String, Sha256), Arc<BTreeSet<Sha256>>>),
}

/// No index is nested deeper.
const MAX_DEPTH: usize = 8;
/// How many indexes are read at once.
const PARALLEL: usize = 16;
/// How many indexes are remembered.
const MOST_KNOWN: usize = 100_000;

impl Verdict {
    fn verified(reason: impl Into<String>) -> Self {
        Self { verified: true, reason: reason.into(), severity: "info" }
    }

    pub(super) fn rejected(reason: impl Into<String>) -> Self {
        Self { verified: false, reason: reason.into(), severity: "error" }
    }

    /// Judges one change.
    ///
    /// # Errors
    /// Indexes that cannot be read: then there is no verdict yet.
    pub async fn of(
        event: &Event,
        expected: &Expected,
        children: &Children,
    ) -> Result<Self, Error> {
        match &event.action {
            Action::Missing => return Ok(Self::rejected("action not specified")),
            Action::Other(other) => {
                return Ok(Self::rejected(format!("unknown action {}", other.escape_debug())));
            }
            // Whatever of: a whole repository has neither digest nor tag.
            Action::Delete => {
                let reason = "deletions are prohibited";
                return Ok(Self { severity: "alert", ..Self::rejected(reason) });
            }
            Action::Insert => {}
        }
        let (digest, tag) = match parts(event) {
            Ok(parts) => parts,
            Err(reason) => return Ok(Self::rejected(reason)),
        };
        let Some((path, digest)) = digest else {
            return Ok(Self::rejected("digest missing from payload"));
        };
        if tag.is_some_and(|(other, _)| other != path) {
            return Ok(Self::rejected("digest and tag are of different repositories"));
        }
        let Some(repository) = expected.repository(path) else {
            return Ok(Self::rejected("no matching source registry"));
        };
        let digest = digest.parse::<Sha256>().ok();
        match (digest.and_then(|digest| repository.digests.get(&digest)), tag) {
            (Some(tags), Some((_, tag))) if tags.contains(tag) => {
                Ok(Self::verified("digest and tag in manifest"))
            }
            (Some(_), Some(_)) => Ok(Self::rejected("tag not in manifest")),
            (Some(_), None) => Ok(Self::verified("digest in manifest")),
            (None, Some(_)) => Ok(Self::rejected("digest not in manifest")),
            (None, None) => match digest {
                Some(digest) => Self::of_child(digest, repository, children).await,
                None => Ok(Self::rejected("could not validate")),
            },
        }
    }

    /// What is in no manifest may be a part of an index that is in one, but not of any other.
    async fn of_child(
        digest: Sha256,
        repository: &Repository,
        children: &Children,
    ) -> Result<Self, Error> {
        let (sources, listed): (Vec<&String>, Vec<_>) = repository.sources.iter().unzip();
        let parents = listed.into_iter().enumerate();
        let parents: Vec<(usize, Sha256)> =
            parents.flat_map(|(place, all)| all.iter().map(move |it| (place, *it))).collect();
        let sources = sources.as_slice();
        // A repository may have thousands, and who tells of the change waits.
        let mut looks = stream::iter(parents)
            .map(async |(place, parent): (usize, Sha256)| match sources.get(place) {
                Some(source) => Ok((parent, children.has(source, parent, digest).await?)),
                None => Ok::<_, Error>((parent, false)),
            })
            .buffered(PARALLEL);
        while let Some((parent, has)) = looks.try_next().await? {
            if has {
                return Ok(Self::verified(format!("child of {parent}")));
            }
        }
        Ok(Self::rejected("could not validate"))
    }
}

type Part<'e> = Option<(&'e str, &'e str)>;

/// Repository and digest, repository and tag.
fn parts(event: &Event) -> Result<(Part<'_>, Part<'_>), &'static str> {
    if event.digest.is_none() && event.tag.is_none() {
        return Err("neither digest nor tag given");
    }
    let digest = event.digest.as_deref().map(|it| it.split_once('@'));
    let tag = event.tag.as_deref().map(|it| {
        it.rsplit_once(':').filter(|(path, tag)| path.contains('/') && !tag.contains('/'))
    });
    if digest == Some(None) {
        return Err("invalid reference without \"@\"");
    }
    if tag == Some(None) {
        return Err("invalid reference without \":\"");
    }
    Ok((digest.flatten(), tag.flatten()))
}

impl Children {
    /// Asks registries.
    #[must_use]
    pub fn of_registries(client: Client) -> Self {
        Self { from: Source::Registries(client), known: Mutex::default() }
    }

    /// What a file says of all registries that `expected` is filled from.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of_file(path: &std::path::Path, expected: &Expected) -> Result<Self, Error> {
        let mut held = HashMap::new();
        for source in expected.sources() {
            let listing = Listing::read(path, source)?;
            for (digest, manifest) in listing.images().values().flatten() {
                let children = manifest.children.iter().copied().collect();
                held.insert((source.to_owned(), *digest), Arc::new(children));
            }
        }
        Ok(Self { from: Source::File(held), known: Mutex::default() })
    }

    /// What nobody tells anything of.
    #[cfg(feature = "fuzzing")]
    pub(in crate::promoter) fn none() -> Self {
        Self { from: Source::File(HashMap::new()), known: Mutex::default() }
    }

    /// Whether an index of a repository lists a digest, itself or through others.
    async fn has(&self, source: &str, parent: Sha256, digest: Sha256) -> Result<bool, Error> {
        let mut level = BTreeSet::from([parent]);
        for _ in 0..MAX_DEPTH {
            let mut next = BTreeSet::new();
            for index in level {
                next.extend(self.list(source, index).await?.iter().copied());
            }
            if next.contains(&digest) {
                return Ok(true);
            }
            if next.is_empty() {
                return Ok(false);
            }
            level = next;
        }
        Ok(false)
    }

    async fn list(&self, source: &str, index: Sha256) -> Result<Arc<BTreeSet<Sha256>>, Error> {
        let client = match &self.from {
            // A file need not tell the same of each source.
            Source::File(held) => {
                return Ok(held.get(&(source.to_owned(), index)).cloned().unwrap_or_default());
            }
            Source::Registries(client) => client,
        };
        let known = self.lock().get(&index).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let (registry, name) = place(source)?;
        let repository = client.repository(&registry, &name);
        let Some(manifest) = repository.manifest(&Digest::from(index).into()).await? else {
            // It may come back.
            return Ok(Arc::default());
        };
        let children = manifest.children().iter();
        let children =
            Arc::new(children.filter_map(|child| child.digest.as_str().parse().ok()).collect());
        let mut known = self.lock();
        if known.len() < MOST_KNOWN {
            known.insert(index, Arc::clone(&children));
        }
        Ok(children)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Sha256, Arc<BTreeSet<Sha256>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
