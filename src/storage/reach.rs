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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;

    use super::*;
    use crate::oci::media_type::{OCI_INDEX, OCI_MANIFEST};
    use crate::storage::{Durability, Filesystem, NewManifest, StoredManifest};

    fn stored(media_type: &str, text: &str) -> StoredManifest {
        let bytes = Bytes::from(text.to_owned());
        StoredManifest { digest: Digest::sha256(&bytes), media_type: media_type.to_owned(), bytes }
    }

    /// An image of one blob.
    fn image(blob: &Digest) -> StoredManifest {
        let config = format!(r#"{{"mediaType":"x","digest":"{blob}","size":1}}"#);
        stored(OCI_MANIFEST, &format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#))
    }

    fn index(children: &[&StoredManifest]) -> StoredManifest {
        let listed = children.iter().map(|child| {
            format!(r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":1}}"#, child.digest)
        });
        let listed = listed.collect::<Vec<_>>().join(",");
        stored(OCI_INDEX, &format!(r#"{{"schemaVersion":2,"manifests":[{listed}]}}"#))
    }

    async fn put(store: &dyn Storage, repository: &RepositoryName, manifest: &StoredManifest) {
        let (manifest, blobs, tags) = (manifest.clone(), Vec::new(), Vec::new());
        let (referrer, origin, keep_pushed) = (None, None, false);
        let new = NewManifest { manifest, blobs, referrer, tags, origin, keep_pushed };
        store.manifest_put(repository, new).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_found_of_an_image_that_is_not_whole_is_not_looked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Filesystem::open(folder.path(), Durability::Process).unwrap();
        let (name, blobs) = ("a".parse().unwrap(), [b"one", b"two"].map(|it| Digest::sha256(it)));
        let [here, late] = blobs.each_ref().map(image);
        let index = index(&[&here, &late]);
        put(&store, &name, &index).await;
        put(&store, &name, &here).await;
        let reach = Reach::default();
        let has = async |wanted| reach.has(&store, &name, &index.digest, wanted).await.unwrap();
        assert_eq!(has(&blobs[0]).await, Belongs::Yes);
        // Whoever walked again would not come past these any more.
        for gone in [&here, &index] {
            store.manifest_delete(&name, &gone.digest).await.unwrap();
        }
        for part in [&blobs[0], &late.digest, &here.digest] {
            assert_eq!(has(part).await, Belongs::Yes, "{part}");
        }
    }

    #[tokio::test]
    async fn a_part_that_comes_later_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let store = Filesystem::open(folder.path(), Durability::Process).unwrap();
        let (name, blob) = ("a".parse().unwrap(), Digest::sha256(b"one"));
        let late = image(&blob);
        let index = index(&[&late]);
        put(&store, &name, &index).await;
        let reach = Reach::default();
        let has = async |wanted| reach.has(&store, &name, &index.digest, wanted).await.unwrap();
        assert_eq!(has(&blob).await, Belongs::Unknown);
        put(&store, &name, &late).await;
        assert_eq!(has(&blob).await, Belongs::Yes);
        assert_eq!(has(&Digest::sha256(b"strange")).await, Belongs::No);
    }
}
