use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::TryStreamExt;

use super::plan::{BlobJob, SMALL_BLOB_BYTES, Target};
use super::queue::{Placed, Task};
use super::{Action, Error, Progress};
use crate::client::{self, Pushed, Repository};
use crate::oci::{Registry, RepositoryName};

/// How often bytes on their way are told.
const TICK: Duration = Duration::from_millis(100);

/// Moves blobs.
pub(super) struct Mover<'a> {
    dry_run: bool,
    progress: &'a dyn Progress,
    registries: Mutex<HashMap<Registry, Arc<Known>>>,
}

/// What is known of a registry.
#[derive(Debug, Default)]
struct Known {
    mounts: Mutex<Mounts>,
    /// Held by the first mount: a registry that declines it must not be sent the same blob by all others.
    first: tokio::sync::Mutex<()>,
}

/// What a registry has been seen to do with mounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mounts {
    #[default]
    Unknown,
    /// It did not mount what it has.
    Declined,
    /// It mounts from a repository that is named. From the blob's own one, that is a look whether it is
    /// there which opens an upload if not.
    Named,
    /// It looks for a blob by itself wherever an upload begins.
    Anywhere,
}

impl<'a> Mover<'a> {
    pub(super) fn new(dry_run: bool, progress: &'a dyn Progress) -> Self {
        Self { dry_run, progress, registries: Mutex::default() }
    }

    /// Brings a blob into one repository.
    pub(super) async fn place<'p>(&self, task: Task<'p>) -> Result<Placed<'p>, Error> {
        let Task { job, target, is_first, has_it } = task;
        let placed = match self.dry_run {
            true => look(job, target, has_it.is_some()).await,
            false => self.bring(job, target, has_it.as_ref()).await,
        };
        let action = placed.map_err(|source| Error::client(&job.item, source))?;
        // What was planned is that the bytes move into the first repository, if they move at all.
        match (is_first, action) {
            _ if self.dry_run => {}
            (true, Action::Mount | Action::Present) => self.progress.spared(job.blob.size),
            (false, Action::Move) => self.progress.planned(0, job.blob.size),
            _ => {}
        }
        self.progress.placed(&job.blob);
        job.from.done();
        Ok(Placed { job, target, action, is_first, has_it })
    }

    /// The fewest requests: one that mounts or one that looks, then POST and PUT, or a single POST.
    async fn bring(
        &self,
        job: &BlobJob,
        target: &Target,
        has_it: Option<&RepositoryName>,
    ) -> Result<Action, client::Error> {
        let own = target.to.name();
        let known = self.known(target.to.registry());
        let first = match known.mounts() {
            Mounts::Unknown if has_it.is_some_and(|from| from != own) => {
                Some(known.first.lock().await)
            }
            _ => None,
        };
        let mounts = known.mounts();
        // Whoever waited finds it known by now.
        let _first = first.filter(|_| mounts == Mounts::Unknown);
        // A mount finds out by itself whether the blob is there, if the registry mounts at all.
        let mount_from = match mounts {
            Mounts::Declined => None,
            Mounts::Named if !target.likely_missing => has_it.or(Some(own)),
            Mounts::Unknown | Mounts::Named | Mounts::Anywhere => {
                has_it.filter(|from| *from != own)
            }
        };
        let looks = mount_from.is_none() && mounts != Mounts::Anywhere && !target.likely_missing;
        if looks && target.to.has_blob(&job.blob).await? {
            return Ok(Action::Present);
        }
        let pushed = push(job, &target.to, mount_from, self.progress).await?;
        let mounted = pushed == Pushed::Mounted;
        match mount_from {
            // That tells whether the blob was there, nothing more.
            Some(from) if from == own => {}
            Some(_) => known.learn(if mounted { Mounts::Named } else { Mounts::Declined }),
            None if mounted => known.learn(Mounts::Anywhere),
            None => {}
        }
        Ok(match mount_from {
            Some(from) if mounted && from == own => Action::Present,
            _ if mounted => Action::Mount,
            _ => Action::Move,
        })
    }

    fn known(&self, registry: &Registry) -> Arc<Known> {
        Arc::clone(lock(&self.registries).entry(registry.clone()).or_default())
    }
}

impl Known {
    fn mounts(&self) -> Mounts {
        *lock(&self.mounts)
    }

    fn learn(&self, mounts: Mounts) {
        let mut known = lock(&self.mounts);
        // Who mounts from anywhere mounts from what is named, too.
        if (*known, mounts) != (Mounts::Anywhere, Mounts::Named) {
            *known = mounts;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What would be done.
async fn look(job: &BlobJob, target: &Target, mounts: bool) -> Result<Action, client::Error> {
    let there = target.to.has_blob(&job.blob).await?;
    Ok(match (there, mounts) {
        (true, _) => Action::Present,
        (false, true) => Action::Mount,
        (false, false) => Action::Move,
    })
}

async fn push(
    job: &BlobJob,
    to: &Repository,
    mount_from: Option<&RepositoryName>,
    progress: &dyn Progress,
) -> Result<Pushed, client::Error> {
    let (from, blob) = (&job.from, &job.blob);
    let moving = progress.moving(blob);
    if mount_from.is_none() && blob.size <= SMALL_BLOB_BYTES {
        let chunks: Vec<Bytes> = from.blob(blob).try_collect().await?;
        let pushed = to.push_small_blob(blob, chunks.concat().into()).await?;
        moving.at(blob.size);
        return Ok(pushed);
    }
    let passed = Arc::new(AtomicU64::new(0));
    let source = || {
        let passed = Arc::clone(&passed);
        // It may be the second time.
        passed.store(0, Ordering::Relaxed);
        from.blob(blob).inspect_ok(move |bytes| {
            passed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        })
    };
    let mut pushing = std::pin::pin!(to.push_blob(blob, source, mount_from));
    loop {
        let pushed = tokio::time::timeout(TICK, &mut pushing).await;
        moving.at(passed.load(Ordering::Relaxed));
        if let Ok(pushed) = pushed {
            return pushed;
        }
    }
}
