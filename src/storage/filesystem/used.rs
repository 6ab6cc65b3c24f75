use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Inner;
use super::blobs::renew;
use crate::oci::{Digest, RepositoryName};

/// A pull is written down when the last one that was is older than this.
const STEP: Duration = Duration::from_secs(60 * 60);

/// How many repositories are remembered; then it starts anew.
const REMEMBERED: usize = 10_000;

/// Which manifests were pulled, so that those nobody needs can be told. A pull only asks here; files are
/// touched by a task of their own, many at once.
#[derive(Default)]
pub(super) struct Used(Mutex<State>);

#[derive(Default)]
struct State {
    seen: HashMap<RepositoryName, HashMap<Digest, Instant>>,
    waiting: Vec<PathBuf>,
    /// Whether a task is on its way to write down what waits.
    running: bool,
}

impl Inner {
    /// Notes a pull; says whether somebody has to call [`Inner::write_down_used`].
    pub(super) fn manifest_used(&self, repository: &RepositoryName, digest: &Digest) -> bool {
        self.used.note(repository, digest, || self.layout.manifest(repository, digest))
    }

    /// Sets the times of the manifests that were pulled. Blocking.
    pub(super) fn write_down_used(&self) {
        while let Some(paths) = self.used.take() {
            for path in paths {
                touch(&path);
            }
        }
    }
}

/// The manifest may have been removed meanwhile; and a time that stays old makes nobody's pull fail.
fn touch(path: &Path) {
    if path.exists()
        && let Err(error) = renew(path)
    {
        tracing::warn!(%error, "a pull was not written down");
    }
}

impl Used {
    fn note(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        path: impl FnOnce() -> PathBuf,
    ) -> bool {
        let mut state = self.locked();
        let seen = state.seen.get(repository).and_then(|seen| seen.get(digest));
        if seen.is_some_and(|seen| seen.elapsed() < STEP) {
            return false;
        }
        if state.seen.len() > REMEMBERED {
            state.seen.clear();
        }
        let manifests = state.seen.entry(repository.clone()).or_default();
        if manifests.len() > REMEMBERED {
            manifests.clear();
        }
        manifests.insert(digest.clone(), Instant::now());
        state.waiting.push(path());
        !std::mem::replace(&mut state.running, true)
    }

    fn take(&self) -> Option<Vec<PathBuf>> {
        let mut state = self.locked();
        let waiting = std::mem::take(&mut state.waiting);
        state.running = !waiting.is_empty();
        state.running.then_some(waiting)
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
