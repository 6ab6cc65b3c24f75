use std::collections::{HashMap, HashSet};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::client::{self, Repository};
use crate::oci::{Descriptor, Digest, Manifest, Reference, Registry, RepositoryName};

/// No image has indexes nested deeper, or lists more.
const MAX_DEPTH: usize = 8;
const MAX_MANIFESTS: usize = 10_000;

/// What stands below the images of a list: each thing asked for once, however many list it.
#[derive(Default)]
pub(in crate::promote) struct Below(HashMap<Key, Found>);

type Key = (Registry, RepositoryName, Digest);

enum Found {
    Missing,
    There,
    Index(Box<Manifest>),
}

/// Something to look for.
struct Child {
    repository: Repository,
    descriptor: Descriptor,
}

impl Below {
    /// Looks for everything below `roots`, level by level.
    pub(in crate::promote) async fn read<'a>(
        roots: impl Iterator<Item = (&'a Repository, &'a Manifest)>,
        parallel: usize,
    ) -> Result<Self, client::Error> {
        let mut below = Self::default();
        let mut level: Vec<Child> = Vec::new();
        let mut most: usize = 0;
        for (at, root) in roots {
            level.extend(children(at, root));
            most = most.saturating_add(MAX_MANIFESTS);
        }
        for _ in 0..MAX_DEPTH {
            let mut seen = HashSet::new();
            level.retain(|child| {
                let key = key(&child.repository, &child.descriptor.digest);
                !below.0.contains_key(&key) && seen.insert(key)
            });
            if level.is_empty() || below.0.len() + level.len() > most {
                break;
            }
            let looks = stream::iter(level).map(async |child: Child| {
                let found = child.look().await?;
                Ok((child, found))
            });
            let found: Vec<_> = looks.buffer_unordered(parallel.max(1)).try_collect().await?;
            level = Vec::new();
            for (Child { repository, descriptor }, found) in found {
                if let Found::Index(index) = &found {
                    level.extend(children(&repository, index));
                }
                below.0.insert(key(&repository, &descriptor.digest), found);
            }
        }
        Ok(below)
    }

    /// Why an image is not whole.
    pub(in crate::promote) fn objections(
        &self,
        repository: &Repository,
        root: &Manifest,
    ) -> Vec<String> {
        let mut reasons = Vec::new();
        let mut seen = HashSet::new();
        let mut indexes = vec![root];
        while let Some(index) = indexes.pop() {
            for child in index.children() {
                if !seen.insert(&child.digest) {
                    continue;
                }
                match self.0.get(&key(repository, &child.digest)) {
                    Some(Found::There) => {}
                    Some(Found::Index(below)) => indexes.push(below),
                    Some(Found::Missing) => {
                        reasons
                            .push(format!("the index lists {}, which is not there", child.digest));
                    }
                    None => {
                        reasons.push("its indexes are nested too deep or list too much".to_owned());
                        return reasons;
                    }
                }
            }
        }
        reasons
    }

    /// An index below an image, if it was read.
    pub(super) fn index(&self, repository: &Repository, digest: &Digest) -> Option<&Manifest> {
        match self.0.get(&key(repository, digest))? {
            Found::Index(index) => Some(index),
            Found::Missing | Found::There => None,
        }
    }
}

impl Child {
    /// An index is read, since what it lists has to be there, too; of everything else it is enough that
    /// the registry has it.
    async fn look(&self) -> Result<Found, client::Error> {
        let Self { repository, descriptor } = self;
        if !descriptor.is_manifest() {
            let size = repository.blob_size(&descriptor.digest).await?;
            return Ok(if size.is_some() { Found::There } else { Found::Missing });
        }
        let reference = Reference::Digest(descriptor.digest.clone());
        if !descriptor.is_index() {
            let head = repository.head(&reference).await?;
            return Ok(if head.is_some() { Found::There } else { Found::Missing });
        }
        Ok(match repository.manifest(&reference).await? {
            Some(index) => Found::Index(Box::new(index)),
            None => Found::Missing,
        })
    }
}

fn children(repository: &Repository, manifest: &Manifest) -> Vec<Child> {
    let child = |descriptor: &Descriptor| Child {
        repository: repository.clone(),
        descriptor: descriptor.clone(),
    };
    manifest.children().iter().map(child).collect()
}

fn key(repository: &Repository, digest: &Digest) -> Key {
    (repository.registry().clone(), repository.name().clone(), digest.clone())
}
