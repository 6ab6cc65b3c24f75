use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::Error;
use super::reader::Reader;
use super::referrers::{self, Attached, Group};
use super::resolve::{Below, Content, Resolved};
use super::shared::Shared;
use crate::client::{Repository, Sight};
use crate::oci::{Descriptor, Digest, Manifest, Reference, Registry, RepositoryName};

/// What is to be moved and written, each thing once.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Largest first: a big one begun last would keep everybody waiting.
    pub(super) blobs: Vec<BlobJob>,
    /// All manifests but the roots under their own names, in the order of their being written.
    pub(super) steps: BTreeMap<Step, Vec<Write>>,
    /// What is to be found by its subject, when it is there.
    pub(super) lists: Vec<List>,
    /// The roots, by the names they are to have.
    pub(super) tags: Vec<Write>,
}

/// When a manifest is written. Each step needs only earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Manifests below a root by their height: those of a height list only lower ones.
    Below(usize),
    /// Roots by digest, where something refers to them: not every registry takes a referrer without its
    /// subject.
    Subjects,
    /// Referrers by how many steps they are from the image.
    Referrers(usize),
    /// What clients find by a tag that is made of its subject's digest.
    Signatures,
}

/// Manifests that were written and refer to the same subject.
#[derive(Debug)]
pub(super) struct List {
    pub(super) to: Repository,
    pub(super) subject: Digest,
    pub(super) manifests: Vec<Manifest>,
    pub(super) item: String,
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
    /// That the tag is free, where one that is not may not be moved.
    pub(super) free: Option<Sight>,
    pub(super) item: String,
}

/// Blobs up to this size are sent without a look where nothing speaks for their being there, and from
/// memory.
pub(super) const SMALL_BLOB_BYTES: u64 = 64 * 1024;

pub(super) type Place = (Registry, RepositoryName);

impl Plan {
    /// Sums up what all items and what is attached to them need.
    ///
    /// # Errors
    /// Two different images for one tag.
    pub(super) fn new(items: &[Resolved], attached: &[Group]) -> Result<Self, Error> {
        let mut planner = Planner::default();
        for item in items {
            planner.image(item)?;
        }
        for group in attached {
            for attached in &group.attached {
                planner.attached(items.get(group.item), attached)?;
            }
        }
        let Planner { mut plan, blobs, lists, .. } = planner;
        plan.lists = lists.into_values().collect();
        plan.blobs = blobs.jobs;
        plan.blobs.sort_by(|left, right| {
            let size = right.blob.size.cmp(&left.blob.size);
            size.then_with(|| left.blob.digest.cmp(&right.blob.digest))
        });
        plan.share();
        Ok(plan)
    }

    /// What several registries need is read once.
    fn share(&mut self) {
        for jobs in self.blobs.chunk_by_mut(|left, right| left.blob.digest == right.blob.digest) {
            let needed_by = jobs.iter().map(|job| job.targets.len()).sum();
            let [first, _, ..] = jobs else { continue };
            if !matches!(first.from, Reader::Registry(_)) {
                continue;
            }
            let shared = Arc::new(Shared::new(first.from.clone(), needed_by));
            jobs.iter_mut().for_each(|job| job.from = Reader::Shared(Arc::clone(&shared)));
        }
    }

    /// How many blobs in repositories, and how many bytes, may have to be moved.
    pub(super) fn size(&self) -> (u64, u64) {
        let targets = self.blobs.iter().map(|job| job.targets.len() as u64).sum();
        // A manifest may say any size.
        (targets, self.blobs.iter().fold(0, |sum: u64, job| sum.saturating_add(job.blob.size)))
    }
}

/// A plan that is being made.
#[derive(Default)]
struct Planner {
    plan: Plan,
    blobs: Blobs,
    written: HashSet<(Place, Digest)>,
    names: HashMap<(Place, Reference), Digest>,
    lists: HashMap<(Place, Digest), List>,
}

impl Planner {
    fn image(&mut self, item: &Resolved) -> Result<(), Error> {
        if let (true, Some(content)) = (self.claims(item)?, &item.content) {
            self.below(item, content);
            let write = Write::new(item, item.reference.clone(), &content.root);
            match referrers::is_signature(&item.reference) {
                true => self.plan.steps.entry(Step::Signatures).or_default().push(write),
                false => self.plan.tags.push(write),
            }
        }
        Ok(())
    }

    /// Something attached to `image`.
    fn attached(&mut self, image: Option<&Resolved>, attached: &Attached) -> Result<(), Error> {
        let item = &attached.resolved;
        let (true, Some(content)) = (self.claims(item)?, &item.content) else {
            return Ok(());
        };
        self.below(item, content);
        if !attached.is_listed() {
            let write = Write::new(item, item.reference.clone(), &content.root);
            self.plan.steps.entry(Step::Signatures).or_default().push(write);
            return Ok(());
        }
        if let Some((image, subject)) = image.and_then(|it| Some((it, it.content.as_ref()?)))
            && image.digest == attached.subject
        {
            self.by_digest(Step::Subjects, image, &image.digest, &subject.root);
        }
        self.by_digest(Step::Referrers(attached.depth), item, &item.digest, &content.root);
        let list = self.lists.entry((place(&item.to), attached.subject.clone()));
        let list = list.or_insert_with(|| List {
            to: item.to.clone(),
            subject: attached.subject.clone(),
            manifests: Vec::new(),
            item: item.name.clone(),
        });
        list.manifests.push(content.root.clone());
        Ok(())
    }

    /// Whether a name is still to be planned; no name can be two things.
    fn claims(&mut self, item: &Resolved) -> Result<bool, Error> {
        let key = (place(&item.to), item.reference.clone());
        match self.names.insert(key, item.digest.clone()) {
            None => Ok(true),
            Some(same) if same == item.digest => Ok(false),
            Some(other) => Err(Error::Conflict { item: item.name.clone(), other }),
        }
    }

    fn below(&mut self, item: &Resolved, content: &Content) {
        for Below { height, digest, manifest } in &content.below {
            self.blobs.need(item, manifest, content.fresh);
            self.by_digest(Step::Below(*height), item, digest, manifest);
        }
        if !content.in_place {
            self.blobs.need(item, &content.root, content.fresh);
        }
    }

    fn by_digest(&mut self, step: Step, item: &Resolved, digest: &Digest, manifest: &Manifest) {
        if self.written.insert((place(&item.to), digest.clone())) {
            let free = None;
            let write = Write { free, ..Write::new(item, digest.clone().into(), manifest) };
            self.plan.steps.entry(step).or_default().push(write);
        }
    }
}

impl Write {
    fn new(item: &Resolved, reference: Reference, manifest: &Manifest) -> Self {
        let Resolved { to, free, name, .. } = item;
        let (to, free, item) = (to.clone(), free.clone(), name.clone());
        Self { to, reference, manifest: manifest.clone(), free, item }
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
                    from: item.from.blobs().clone(),
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
