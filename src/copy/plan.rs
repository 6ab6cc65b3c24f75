use std::collections::{BTreeMap, HashMap, HashSet};

use super::Error;
use super::reader::Reader;
use super::resolve::Resolved;
use crate::client::Repository;
use crate::oci::{Descriptor, Digest, Manifest, Reference, Registry, RepositoryName};

/// What is to be moved and written, each thing once.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Largest first: a big one begun last would keep everybody waiting.
    pub(super) blobs: Vec<BlobJob>,
    /// Manifests below the roots by their height: those of a height list only lower ones.
    pub(super) levels: BTreeMap<usize, Vec<Write>>,
    /// The roots, by the names they are to have.
    pub(super) tags: Vec<Write>,
}

/// A blob for one registry.
#[derive(Debug)]
pub(super) struct BlobJob {
    pub(super) blob: Descriptor,
    pub(super) from: Reader,
    pub(super) targets: Vec<Target>,
    /// `FROM to TO` of the first image that needs it, for errors.
    pub(super) item: String,
}

/// A repository that needs a blob.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) to: Repository,
    /// Which image needs it first.
    pub(super) image: usize,
    /// No tag of the repository is known to be there.
    pub(super) fresh: bool,
    /// A look whether it is there costs as much as it is likely to spare.
    pub(super) likely_missing: bool,
}

/// A manifest to be written.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) to: Repository,
    pub(super) reference: Reference,
    pub(super) manifest: Manifest,
    pub(super) item: String,
}

/// Blobs up to this size are sent without a look where nothing speaks for their being there, and from
/// memory.
pub(super) const SMALL_BLOB_BYTES: u64 = 64 * 1024;

pub(super) type Place = (Registry, RepositoryName);

impl Plan {
    /// Sums up what all items need.
    ///
    /// # Errors
    /// Two different images for one tag.
    pub(super) fn new(items: &[Resolved]) -> Result<Self, Error> {
        let mut plan = Self::default();
        let mut blobs = Blobs::default();
        let mut written: HashSet<(Place, Digest)> = HashSet::new();
        let mut tags: HashMap<(Place, Reference), Digest> = HashMap::new();
        for item in items {
            let key = (place(&item.to), item.reference.clone());
            match tags.insert(key, item.digest.clone()) {
                None => {}
                Some(same) if same == item.digest => continue,
                Some(other) => {
                    return Err(Error::Conflict { item: item.name.clone(), other });
                }
            }
            let Some(content) = &item.content else {
                continue;
            };
            let write = |reference: Reference, manifest: &Manifest| Write {
                to: item.to.clone(),
                reference,
                manifest: manifest.clone(),
                item: item.name.clone(),
            };
            for (height, manifest) in &content.below {
                blobs.need(item, manifest, content.fresh);
                if written.insert((place(&item.to), manifest.digest().clone())) {
                    let reference = manifest.digest().clone().into();
                    let level = plan.levels.entry(*height).or_default();
                    level.push(write(reference, manifest));
                }
            }
            if !content.in_place {
                blobs.need(item, &content.root, content.fresh);
            }
            plan.tags.push(write(item.reference.clone(), &content.root));
        }
        plan.blobs = blobs.jobs;
        plan.blobs.sort_by_key(|job| std::cmp::Reverse(job.blob.size));
        Ok(plan)
    }

    /// How many blobs in repositories, and how many bytes, may have to be moved.
    pub(super) fn size(&self) -> (u64, u64) {
        let targets = self.blobs.iter().map(|job| job.targets.len() as u64).sum();
        // A manifest may say any size.
        (targets, self.blobs.iter().fold(0, |sum: u64, job| sum.saturating_add(job.blob.size)))
    }
}

#[derive(Default)]
struct Blobs {
    jobs: Vec<BlobJob>,
    by_digest: HashMap<(Registry, Digest), usize>,
    needed: HashSet<(Place, Digest)>,
}

impl Blobs {
    fn need(&mut self, item: &Resolved, manifest: &Manifest, fresh: bool) {
        for (position, blob) in needed(manifest).enumerate() {
            let digest = blob.digest.clone();
            if !self.needed.insert((place(&item.to), digest.clone())) {
                continue;
            }
            // A configuration is hardly ever shared, so one that changed is new.
            let is_config = position == 0 && manifest.children().is_empty();
            let target = Target {
                to: item.to.clone(),
                image: item.image,
                fresh,
                likely_missing: blob.size <= SMALL_BLOB_BYTES && (fresh || is_config),
            };
            let registry = item.to.registry().clone();
            let next = self.jobs.len();
            let job = *self.by_digest.entry((registry, digest)).or_insert(next);
            match self.jobs.get_mut(job) {
                Some(job) => job.targets.push(target),
                None => self.jobs.push(BlobJob {
                    blob: blob.clone(),
                    from: item.from.clone(),
                    targets: vec![target],
                    item: item.name.clone(),
                }),
            }
        }
    }
}

/// The blobs a manifest needs beside it. What an index lists that is no manifest, as build caches do, is a
/// blob to whoever does not know its type (image-spec, image-index.md, forbids to fail on it).
pub(super) fn needed(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    let listed = manifest.children().iter().filter(|child| !child.is_manifest());
    manifest.blobs().chain(listed.filter(|child| !child.is_non_distributable()))
}

pub(super) fn place(repository: &Repository) -> Place {
    (repository.registry().clone(), repository.name().clone())
}
