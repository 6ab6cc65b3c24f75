use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Error, Storage};
use crate::oci::{Digest, Manifest, RepositoryName};

/// How deep indexes may be nested, and how many manifests an image may have.
const MAX_DEPTH: usize = 8;
const MAX_MANIFESTS: usize = 10_000;

/// How many digests are remembered at most, over all images.
const MAX_REMEMBERED: usize = 50_000;

/// What images are made of.
#[derive(Default)]
pub struct Reach {
    /// The oldest first.
    known: Mutex<VecDeque<(Key, Parts)>>,
}

/// Whether something is an image or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belongs {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is no part that is known, and not all manifests of the image are there.
    Unknown,
}

/// The manifests and blobs below an image, as far as they were found.
#[derive(Clone)]
struct Parts {
    digests: Arc<HashSet<Digest>>,
    /// Whether there are no more.
    whole: bool,
}

type Key = (RepositoryName, Digest);

impl Reach {
    /// Whether something belongs to an image, as far as a store knows. Content below a digest never
    /// changes, so an image is walked once and remembered, and again only for what may have come since.
    ///
    /// # Errors
    /// The store fails.
    pub async fn has(
        &self,
        storage: &dyn Storage,
        repository: &RepositoryName,
        image: &Digest,
        wanted: &Digest,
    ) -> Result<Belongs, Error> {
        if wanted == image {
            return Ok(Belongs::Yes);
        }
        let key = (repository.clone(), image.clone());
        match self.known(&key).map(|parts| parts.has(wanted)) {
            Some(settled @ (Belongs::Yes | Belongs::No)) => return Ok(settled),
            Some(Belongs::Unknown) | None => {}
        }
        let parts = walk(storage, repository, image).await?;
        let has = parts.has(wanted);
        self.remember(key, parts);
        Ok(has)
    }

    fn known(&self, key: &Key) -> Option<Parts> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(held, _)| held == key).map(|(_, parts)| parts.clone())
    }

    fn remember(&self, key: Key, parts: Parts) {
        // Room for itself counts too: an image of one blob is not for free.
        let weight = |parts: &Parts| parts.digests.len() + 8;
        if parts.digests.is_empty() || weight(&parts) > MAX_REMEMBERED {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(held, _)| *held != key);
        known.push_back((key, parts));
        let mut sum: usize = known.iter().map(|(_, parts)| weight(parts)).sum();
        while sum > MAX_REMEMBERED {
            let Some((_, oldest)) = known.pop_front() else { break };
            sum -= weight(&oldest);
        }
    }
}

impl Parts {
    fn has(&self, wanted: &Digest) -> Belongs {
        match (self.digests.contains(wanted), self.whole) {
            (true, _) => Belongs::Yes,
            (false, true) => Belongs::No,
            (false, false) => Belongs::Unknown,
        }
    }
}

async fn walk(
    storage: &dyn Storage,
    repository: &RepositoryName,
    image: &Digest,
) -> Result<Parts, Error> {
    let mut digests = HashSet::new();
    let mut whole = true;
    let mut level = vec![image.clone()];
    let mut manifests = 0;
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        for digest in level {
            manifests += 1;
            if manifests > MAX_MANIFESTS {
                return Ok(Parts { digests: Arc::new(digests), whole: false });
            }
            let stored = match storage.manifest_get(repository, &digest).await {
                Ok(stored) => stored,
                Err(Error::ManifestUnknown { .. } | Error::Damaged(_)) => {
                    whole = false;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Ok(manifest) = Manifest::parse(stored.bytes, Some(&stored.media_type)) else {
                whole = false;
                continue;
            };
            digests.extend(manifest.blobs().map(|blob| blob.digest.clone()));
            for child in manifest.children() {
                if digests.insert(child.digest.clone()) {
                    next.push(child.digest.clone());
                }
            }
        }
        level = next;
    }
    Ok(Parts { digests: Arc::new(digests), whole: whole && level.is_empty() })
}
