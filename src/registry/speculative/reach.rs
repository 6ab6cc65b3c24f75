use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::oci::{Digest, Manifest, RepositoryName};
use crate::registry::Error;
use crate::storage::{self, Storage};

/// How deep indexes may be nested, and how many manifests an image may have.
const MAX_DEPTH: usize = 8;
const MAX_MANIFESTS: usize = 10_000;

/// How many digests are remembered at most, over all images.
const MAX_REMEMBERED: usize = 50_000;

/// What images are made of: the digests that a token for one image opens.
#[derive(Default)]
pub(in crate::registry) struct Reach {
    /// The oldest first.
    known: Mutex<VecDeque<(Key, Arc<HashSet<Digest>>)>>,
}

type Key = (RepositoryName, Digest);

/// All that was found below an image, and whether nothing was missing.
struct Walked {
    digests: HashSet<Digest>,
    whole: bool,
}

impl Reach {
    /// Refuses what is neither the image `root` nor a part of it. Content below a digest never changes, so
    /// an image is walked once and remembered, unless something of it is not there yet.
    pub(in crate::registry) async fn demand(
        &self,
        storage: &dyn Storage,
        repository: &RepositoryName,
        root: &Digest,
        wanted: &Digest,
    ) -> Result<(), Error> {
        if wanted == root {
            return Ok(());
        }
        let key = (repository.clone(), root.clone());
        let digests = match self.known(&key) {
            Some(digests) => digests,
            None => {
                let Walked { digests, whole } = walk(storage, repository, root).await?;
                let digests = Arc::new(digests);
                if whole {
                    self.remember(key, &digests);
                }
                digests
            }
        };
        if digests.contains(wanted) {
            return Ok(());
        }
        Err(Error::OutsideImage { image: root.clone(), wanted: wanted.clone() })
    }

    fn known(&self, key: &Key) -> Option<Arc<HashSet<Digest>>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(held, _)| held == key).map(|(_, digests)| Arc::clone(digests))
    }

    fn remember(&self, key: Key, digests: &Arc<HashSet<Digest>>) {
        // Room for itself counts too: an image of one blob is not for free.
        let weight = |digests: &HashSet<Digest>| digests.len() + 8;
        if weight(digests) > MAX_REMEMBERED {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(held, _)| *held != key);
        known.push_back((key, Arc::clone(digests)));
        let mut sum: usize = known.iter().map(|(_, digests)| weight(digests)).sum();
        while sum > MAX_REMEMBERED {
            let Some((_, oldest)) = known.pop_front() else { break };
            sum -= weight(&oldest);
        }
    }
}

async fn walk(
    storage: &dyn Storage,
    repository: &RepositoryName,
    root: &Digest,
) -> Result<Walked, Error> {
    let mut walked = Walked { digests: HashSet::new(), whole: true };
    let mut level = vec![root.clone()];
    let mut manifests = 0;
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        for digest in level {
            manifests += 1;
            if manifests > MAX_MANIFESTS {
                walked.whole = false;
                return Ok(walked);
            }
            let stored = match storage.manifest_get(repository, &digest).await {
                Ok(stored) => stored,
                Err(storage::Error::ManifestUnknown { .. } | storage::Error::Damaged(_)) => {
                    walked.whole = false;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Ok(manifest) = Manifest::parse(stored.bytes, Some(&stored.media_type)) else {
                continue;
            };
            walked.digests.extend(manifest.blobs().map(|blob| blob.digest.clone()));
            for child in manifest.children() {
                if walked.digests.insert(child.digest.clone()) {
                    next.push(child.digest.clone());
                }
            }
        }
        level = next;
    }
    Ok(walked)
}
