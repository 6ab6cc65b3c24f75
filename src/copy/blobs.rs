use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::TryStreamExt;

use super::plan::{BlobJob, Target};
use super::{Error, Progress, Totals};
use crate::client::{self, Pushed, Repository};
use crate::oci::{Registry, RepositoryName};

/// How often bytes on their way are told.
const TICK: Duration = Duration::from_millis(100);

/// Moves blobs.
pub(super) struct Mover<'a> {
    dry_run: bool,
    progress: &'a dyn Progress,
    /// Registries that did not mount what they have.
    decline_mounts: Mutex<HashSet<Registry>>,
}

enum Placed {
    Present,
    Pushed(Pushed),
}

impl<'a> Mover<'a> {
    pub(super) fn new(dry_run: bool, progress: &'a dyn Progress) -> Self {
        Self { dry_run, progress, decline_mounts: Mutex::default() }
    }

    /// Brings a blob into all repositories of one registry that need it: into the first by the best
    /// way, into the others from there.
    pub(super) async fn place(&self, job: &BlobJob) -> Result<Totals, Error> {
        let mut totals = Totals::default();
        let mut has_it: Option<RepositoryName> = (job.targets.first())
            .and_then(|target| Some((target, job.from.repository()?)))
            .filter(|(target, from)| target.to.registry() == from.registry())
            .map(|(_, from)| from.name().clone());
        for target in &job.targets {
            let placed = match self.dry_run {
                true => look(job, target, has_it.is_some()).await,
                false => self.bring(job, target, has_it.as_ref()).await,
            };
            match placed.map_err(|source| Error::client(&job.item, source))? {
                Placed::Present => totals.blobs_present += 1,
                Placed::Pushed(Pushed::Mounted) => totals.blobs_mounted += 1,
                Placed::Pushed(Pushed::Moved(bytes)) => {
                    totals.blobs_moved += 1;
                    totals.bytes_moved += bytes;
                }
            }
            has_it.get_or_insert_with(|| target.to.name().clone());
            self.progress.blob_done(&job.blob);
        }
        Ok(totals)
    }

    async fn bring(
        &self,
        job: &BlobJob,
        target: &Target,
        mount_from: Option<&RepositoryName>,
    ) -> Result<Placed, client::Error> {
        let mount_from = mount_from.filter(|from| *from != target.to.name());
        // A mount finds out by itself whether the blob is there, if the registry mounts at all.
        let mounts = mount_from.is_some() && !self.declines_mounts(target.to.registry());
        if !mounts
            && !target.likely_missing
            && target.to.blob_size(&job.blob.digest).await?.is_some()
        {
            return Ok(Placed::Present);
        }
        let pushed = push(job, &target.to, mount_from, self.progress).await?;
        if mounts && pushed != Pushed::Mounted {
            self.lock().insert(target.to.registry().clone());
        }
        Ok(Placed::Pushed(pushed))
    }

    fn declines_mounts(&self, registry: &Registry) -> bool {
        self.lock().contains(registry)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Registry>> {
        self.decline_mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What would be done.
async fn look(job: &BlobJob, target: &Target, mounts: bool) -> Result<Placed, client::Error> {
    if target.to.blob_size(&job.blob.digest).await?.is_some() {
        return Ok(Placed::Present);
    }
    Ok(Placed::Pushed(match mounts {
        true => Pushed::Mounted,
        false => Pushed::Moved(job.blob.size),
    }))
}

async fn push(
    job: &BlobJob,
    to: &Repository,
    mount_from: Option<&RepositoryName>,
    progress: &dyn Progress,
) -> Result<Pushed, client::Error> {
    let (from, blob) = (&job.from, &job.blob);
    progress.blob_started(blob);
    let passed = Arc::new(AtomicU64::new(0));
    let source = || {
        let passed = Arc::clone(&passed);
        from.blob(blob).inspect_ok(move |bytes| {
            passed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        })
    };
    let mut pushing = std::pin::pin!(to.push_blob(blob, source, mount_from));
    loop {
        let pushed = tokio::time::timeout(TICK, &mut pushing).await;
        let bytes = passed.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            progress.bytes(bytes);
        }
        if let Ok(pushed) = pushed {
            return pushed;
        }
    }
}
