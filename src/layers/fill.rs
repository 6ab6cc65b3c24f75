use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::fetch::Task;
use super::flight::MOST;
use super::follow::Following;
use super::room::Keepers;
use super::source::{Key, Shelf, Source};
use super::{Error, Limits};
use crate::oci::{Digest, RepositoryName};
use crate::storage::UploadBytes;

/// The blobs that are being fetched. Each is fetched once, by a task of its own, into the shelf it is
/// kept on; readers follow what is there already.
pub(super) struct Fills {
    running: Mutex<HashMap<Key, Arc<Fill>>>,
    limits: Limits,
}

/// One of them.
pub(super) struct Fill {
    pub(super) shelf: Shelf,
    pub(super) repository: RepositoryName,
    pub(super) digest: Digest,
    pub(super) keepers: Keepers,
    pub(super) stage: watch::Sender<Stage>,
}

/// What may be read of a blob before it is stored, and also when it had to make room since.
pub(super) type Content = Arc<dyn UploadBytes>;

/// How far a blob is.
#[derive(Clone)]
pub(super) enum Stage {
    /// The other side has not answered yet.
    Asking,
    /// Bytes come.
    Coming {
        /// They; nothing before the first has come.
        content: Option<Content>,
        /// The size of the whole.
        size: u64,
        /// How many may be read.
        there: u64,
    },
    /// It is verified and stored.
    Kept {
        /// What it was fetched into, where it was fetched.
        content: Option<Content>,
        /// The size of the whole.
        size: u64,
    },
    /// There will be no blob.
    Failed(Error),
}

impl Fills {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { running: Mutex::default(), limits })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Follows the fetch of a blob under way, or starts one.
    pub(super) fn follow(
        self: &Arc<Self>,
        source: &Source,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Following {
        let key = source.key(repository, digest);
        let mut running = self.lock();
        if let Some(fill) = running.get(&key) {
            return Following::new(Arc::clone(fill), fill.stage.subscribe());
        }
        let is_busy = running.len() >= MOST;
        let first = if is_busy { Stage::Failed(Error::busy()) } else { Stage::Asking };
        let (stage, following) = watch::channel(first);
        let fill = Arc::new(Fill {
            shelf: source.shelf.clone(),
            repository: repository.clone(),
            digest: digest.clone(),
            keepers: Keepers::default(),
            stage,
        });
        if !is_busy {
            running.insert(key.clone(), Arc::clone(&fill));
            let (fills, fill) = (Arc::clone(self), Arc::clone(&fill));
            tokio::spawn(Task { fills, key, fill, source: source.clone() }.run());
        }
        Following::new(fill, following)
    }

    /// The size of a blob that is being fetched, where it is known already.
    pub(super) fn size(
        &self,
        source: &Source,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Option<u64> {
        let key = source.key(repository, digest);
        let running = self.lock();
        let stage = running.get(&key)?.stage.borrow();
        match *stage {
            Stage::Coming { size, .. } | Stage::Kept { size, .. } => Some(size),
            Stage::Asking | Stage::Failed(_) => None,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Fill>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
