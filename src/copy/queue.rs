use std::collections::VecDeque;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::blobs::Mover;
use super::plan::{BlobJob, Plan, Target};
use super::{Action, Error, Options, Progress};
use crate::oci::RepositoryName;

/// Brings all blobs where they are needed, so many at once: each into the first repository of a registry
/// by the best way, into the others from there.
pub(super) async fn move_blobs<'p>(
    plan: &'p Plan,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Vec<Placed<'p>>, Error> {
    let mover = Mover::new(options.dry_run, progress);
    let mut waiting: VecDeque<Task<'p>> = plan.blobs.iter().filter_map(Task::first).collect();
    let mut running = FuturesUnordered::new();
    let mut all = Vec::new();
    loop {
        while running.len() < options.parallel.max(1)
            && let Some(task) = waiting.pop_front()
        {
            running.push(mover.place(task));
        }
        let Some(placed) = running.next().await.transpose()? else {
            return Ok(all);
        };
        placed.further().for_each(|task| waiting.push_front(task));
        all.push(placed);
    }
}

/// A blob to be brought into one repository.
pub(super) struct Task<'p> {
    pub(super) job: &'p BlobJob,
    pub(super) target: &'p Target,
    /// Whether it is the first of its registry.
    pub(super) is_first: bool,
    /// Which repository of the registry has the blob.
    pub(super) has_it: Option<RepositoryName>,
}

/// What became of it.
pub(super) struct Placed<'p> {
    pub(super) job: &'p BlobJob,
    pub(super) target: &'p Target,
    pub(super) action: Action,
    pub(super) is_first: bool,
    /// Which repository of the registry had it before.
    pub(super) has_it: Option<RepositoryName>,
}

impl<'p> Task<'p> {
    fn first(job: &'p BlobJob) -> Option<Self> {
        let target = job.targets.first()?;
        let source = job.from.repository().filter(|from| from.registry() == target.to.registry());
        let has_it = source.map(|from| from.name().clone());
        Some(Self { job, target, is_first: true, has_it })
    }
}

impl<'p> Placed<'p> {
    /// The other repositories, which can have it now.
    fn further(&self) -> impl Iterator<Item = Task<'p>> {
        let (job, first) = (self.job, self.is_first);
        let has_it = self.has_it.clone().or_else(|| Some(self.target.to.name().clone()));
        let others = job.targets.iter().skip(1).filter(move |_| first);
        others.map(move |target| Task { job, target, is_first: false, has_it: has_it.clone() })
    }
}
