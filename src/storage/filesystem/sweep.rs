//! Removes what nobody needs, while others push and pull, also from a process of its own.
//!
//! Manifests are marked first, without a lock. A repository's marks are looked at again under the lock
//! that PUT manifest takes, and what is still unused then goes: tags, then manifests. What the others
//! need is remembered. Then blobs: PUT manifest renews the lease of each blob it names, and so do
//! uploads, mounts and questions for a blob. A blob with a lease from before the first mark, less the
//! grace, was therefore named by no manifest since, and its lease too is looked at again under the lock.
//! So nothing has to wait for the grace to pass: it has passed when the lease is that old.
//!
//! Times are those of files here; on an object store they would be metadata that is renewed likewise.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::disk::{Disk, System};
use super::drafts::Draft;
use super::files::{self, Unsynced, failed};
use super::graph::Graph;
use super::layout::{self, DATA};
use super::{Inner, VISITOR, blobs};
use crate::oci::{Digest, RepositoryName, Tag};
use crate::storage::{Error, Pruned, PrunedBlob, PrunedManifest, Pruning};

/// How far a file's time may lie behind the clock.
const CLOCK_STEP: Duration = Duration::from_millis(100);

/// A run.
struct Sweep<'a> {
    inner: &'a Inner,
    options: &'a Pruning,
    since: Since,
    needed: Needed,
    pruned: Pruned,
}

/// What is younger stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Since {
    /// Manifests used since then.
    used: SystemTime,
    /// Blobs with a lease since then.
    leased: SystemTime,
}

/// Which repository needs which blob, in few bytes each.
#[derive(Default)]
struct Needed {
    repositories: BTreeMap<String, u32>,
    blobs: HashSet<(u32, [u8; 16])>,
}

/// Old links of one blob.
struct Candidate {
    digest: Digest,
    size: u64,
    links: Vec<RepositoryName>,
}

impl Inner {
    /// Removes what nobody needs. Blocking.
    pub(super) fn prune(&self, options: &Pruning) -> Result<Pruned, Error> {
        let _one = self.only_one_prunes()?;
        if !options.dry_run {
            self.remove_rests()?;
        }
        let mut sweep = Sweep {
            inner: self,
            options,
            since: Since::new(options, SystemTime::now()),
            needed: Needed::default(),
            pruned: Pruned::default(),
        };
        for repository in self.all_repositories()? {
            sweep.manifests(&repository)?;
        }
        sweep.blobs()?;
        Ok(sweep.pruned.sum())
    }

    fn only_one_prunes(&self) -> Result<File, Error> {
        let path = self.layout.prune();
        let lock = System.open(&path).map_err(|e| failed("open", &path, e))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(path.display().to_string())),
            Err(TryLockError::Error(error)) => Err(failed("lock", &path, error)),
        }
    }

    /// What a run left that was killed.
    fn remove_rests(&self) -> Result<(), Error> {
        let temporary = self.layout.temporary();
        for name in files::names(&temporary)?.unwrap_or_default() {
            if name.starts_with(VISITOR) {
                self.files.remove_all(&temporary.join(name))?;
            }
        }
        Ok(())
    }
}

impl Sweep<'_> {
    fn manifests(&mut self, repository: &RepositoryName) -> Result<(), Error> {
        let mut graph = Graph::read(self.inner, repository)?;
        let doomed = self.doomed(&graph);
        if !doomed.is_empty() {
            let tags = self.inner.tags_by_digest(repository)?;
            let gone = match self.options.dry_run {
                true => doomed,
                false => self.remove_manifests(repository, &mut graph, doomed, &tags)?,
            };
            for (digest, used) in &gone {
                self.pruned.manifests.push(PrunedManifest {
                    repository: repository.clone(),
                    digest: digest.clone(),
                    tags: tags.get(digest).cloned().unwrap_or_default(),
                    used: *used,
                    why: "not pushed or pulled for that long, and no image that stays needs it"
                        .to_owned(),
                });
            }
            self.keep(repository, graph.nodes().filter(|(digest, _)| !gone.contains_key(digest)));
        } else {
            self.keep(repository, graph.nodes());
        }
        Ok(())
    }

    /// What nobody used for long, and nothing that stays needs.
    fn doomed(&self, graph: &Graph) -> BTreeMap<Digest, SystemTime> {
        let stays = |digest: &Digest, used: SystemTime| {
            used >= self.since.used || self.options.keep.contains(digest)
        };
        let roots = graph.nodes().filter(|(digest, node)| stays(digest, node.used));
        let reached = graph.reach(roots.map(|(digest, _)| digest));
        let doomed = graph.nodes().filter(|(digest, _)| !reached.contains(digest));
        doomed.map(|(digest, node)| (digest.clone(), node.used)).collect()
    }

    /// Looks again at what was marked, and removes what is still marked. In this order, so that nothing
    /// ever points at nothing.
    fn remove_manifests(
        &mut self,
        repository: &RepositoryName,
        graph: &mut Graph,
        marked: BTreeMap<Digest, SystemTime>,
        tags: &BTreeMap<Digest, Vec<Tag>>,
    ) -> Result<BTreeMap<Digest, SystemTime>, Error> {
        let inner = self.inner;
        let _alone = inner.changes.alone()?;
        self.since.follow_clock(self.options, SystemTime::now());
        graph.refresh(inner, repository)?;
        let mut doomed = self.doomed(graph);
        doomed.retain(|digest, _| marked.contains_key(digest));
        let subject = |digest| graph.get(digest)?.manifest.as_ref()?.subject();
        let subjects: Vec<(&Digest, Option<&Digest>)> =
            doomed.keys().map(|digest| (digest, subject(digest).map(|it| &it.digest))).collect();
        inner.remove_manifests(repository, &subjects, tags)?;
        Ok(doomed)
    }

    fn keep<'a>(
        &mut self,
        repository: &RepositoryName,
        nodes: impl Iterator<Item = (&'a Digest, &'a super::graph::Node)>,
    ) {
        for (_, node) in nodes {
            self.pruned.totals.manifests_kept += 1;
            if node.used < self.since.used {
                self.pruned.totals.manifests_needed += 1;
            }
            for blob in node.manifest.iter().flat_map(|manifest| manifest.blobs()) {
                self.needed.insert(repository, &blob.digest);
            }
        }
    }

    fn blobs(&mut self) -> Result<(), Error> {
        let top = self.inner.layout.contents();
        for algorithm in files::names(&top)?.unwrap_or_default() {
            for part in files::names(&top.join(&algorithm))?.unwrap_or_default() {
                let folder = top.join(&algorithm).join(part);
                let mut candidates = Vec::new();
                for name in files::names(&folder)?.unwrap_or_default() {
                    if let Some(digest) = layout::digest(&format!("{algorithm}-{name}")) {
                        match self.candidate(&folder.join(name), digest)? {
                            Some(candidate) => candidates.push(candidate),
                            None => self.pruned.totals.blobs_kept += 1,
                        }
                    }
                }
                if !candidates.is_empty() {
                    self.remove_blobs(candidates)?;
                }
            }
        }
        Ok(())
    }

    /// A blob with links that may go, or without any.
    fn candidate(&self, folder: &Path, digest: Digest) -> Result<Option<Candidate>, Error> {
        let (size, filled) = match folder.join(DATA).metadata() {
            Ok(data) => (data.len(), data.modified().unwrap_or(SystemTime::UNIX_EPOCH)),
            Err(error) if files::is_absent(&error) => (0, SystemTime::UNIX_EPOCH),
            Err(error) => return Err(failed("look at", folder, error)),
        };
        let (mut links, mut others) = (Vec::new(), false);
        for repository in self.inner.blob_repositories(&digest)? {
            match self.is_unused(&repository, &digest)? {
                true => links.push(repository),
                false => others = true,
            }
        }
        let unlinked = links.is_empty() && !others && filled < self.since.leased;
        let candidate = Candidate { digest, size, links };
        Ok((unlinked || !candidate.links.is_empty()).then_some(candidate))
    }

    fn is_unused(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, Error> {
        if self.needed.contains(repository, digest) {
            return Ok(false);
        }
        match blobs::read_link(&self.inner.layout.link(repository, digest)) {
            Ok(link) => Ok(link.is_none_or(|link| link.renewed < self.since.leased)),
            // A damaged link is of no use; `verify` tells who misses it.
            Err(Error::Damaged(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn remove_blobs(&mut self, candidates: Vec<Candidate>) -> Result<(), Error> {
        let inner = self.inner;
        let dry_run = self.options.dry_run;
        let mut unsynced = Unsynced::default();
        // Removed after the lock was given back: large files take their time.
        let mut trash: Vec<Draft> = Vec::new();
        let alone = if dry_run { None } else { Some(inner.changes.alone()?) };
        self.since.follow_clock(self.options, SystemTime::now());
        for Candidate { digest, size, mut links } in candidates {
            let linked = inner.blob_repositories(&digest)?;
            let mut unused = BTreeSet::new();
            for repository in links.drain(..) {
                if self.is_unused(&repository, &digest)? {
                    unused.insert(repository);
                }
            }
            let freed = linked.iter().all(|repository| unused.contains(repository));
            if unused.is_empty() && !freed {
                self.pruned.totals.blobs_kept += 1;
                continue;
            }
            if !dry_run && freed {
                trash.extend(inner.throw_away(&digest, &mut unsynced)?);
            } else if !dry_run {
                for repository in &unused {
                    let path = inner.layout.link(repository, &digest);
                    inner.files.remove_unsynced(&path, &mut unsynced)?;
                }
            }
            if !freed {
                self.pruned.totals.blobs_kept += 1;
            }
            let why = match unused.is_empty() {
                true => "no repository links it",
                false => "no image that stays needs it in these repositories",
            };
            self.pruned.blobs.push(PrunedBlob {
                digest,
                size,
                repositories: unused.into_iter().collect(),
                freed,
                why: why.to_owned(),
            });
        }
        inner.files.settle(unsynced)?;
        drop(alone);
        Ok(())
    }
}

impl Since {
    fn new(options: &Pruning, now: SystemTime) -> Self {
        let before =
            |age: Duration| now.checked_sub(age.max(CLOCK_STEP)).unwrap_or(SystemTime::UNIX_EPOCH);
        Self { used: before(options.older_than), leased: before(options.grace) }
    }

    /// What was pushed after the clock was set back is young, though its time is not.
    fn follow_clock(&mut self, options: &Pruning, now: SystemTime) {
        let again = Self::new(options, now);
        self.used = self.used.min(again.used);
        self.leased = self.leased.min(again.leased);
    }
}

impl Needed {
    fn insert(&mut self, repository: &RepositoryName, digest: &Digest) {
        let next = u32::try_from(self.repositories.len()).unwrap_or(u32::MAX);
        let number = match self.repositories.get(repository.as_str()) {
            Some(number) => *number,
            None => *self.repositories.entry(repository.as_str().to_owned()).or_insert(next),
        };
        self.blobs.insert((number, start_of(digest)));
    }

    fn contains(&self, repository: &RepositoryName, digest: &Digest) -> bool {
        let number = self.repositories.get(repository.as_str());
        number.is_some_and(|number| self.blobs.contains(&(*number, start_of(digest))))
    }
}

/// Enough of a digest to know it by; two that begin alike are kept together.
fn start_of(digest: &Digest) -> [u8; 16] {
    let mut start = [0; 16];
    let hex = digest.hex().get(..32).unwrap_or_default();
    // A digest has so many digits, of an alphabet that decodes.
    let _ = hex::decode_to_slice(hex, &mut start);
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_after_the_clock_was_set_back_stays() {
        let day = Duration::from_secs(24 * 60 * 60);
        let options =
            Pruning { older_than: day, grace: day / 24, keep: BTreeSet::new(), dry_run: false };
        let start = SystemTime::now();
        let mut since = Since::new(&options, start);
        let before = since;
        since.follow_clock(&options, start + day);
        assert_eq!(since, before, "time that passes makes nothing old that was looked at");
        since.follow_clock(&options, start - 9 * day);
        let pushed = start - 9 * day;
        assert!(since.used < pushed && since.leased < pushed);
    }
}
