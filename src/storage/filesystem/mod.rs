//! A store in a folder of a local disk, served by one process.
//!
//! Every file appears by a rename and is whole from its first moment, so that a process killed at any
//! instant leaves nothing half visible; what it was still writing is removed at the next start.
//! Work on files runs on the blocking threads of tokio, and no thread waits there for a client.

mod adopt;
mod blobs;
mod buffers;
mod changes;
mod disk;
mod drafts;
mod driver;
mod evict;
mod files;
mod fill;
mod graph;
mod layout;
mod lists;
mod manifests;
mod migrate;
#[cfg(test)]
mod power;
mod reader;
mod recent;
mod remove;
mod sweep;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_interleaving;
#[cfg(test)]
mod tests_power;
#[cfg(test)]
mod tests_recent;
mod trust;
mod uploads;
mod used;
mod verify;
mod verify_images;

use std::fs::{File, TryLockError};

use std::path::{self, Path};
use std::sync::Arc;

use tokio::task::{JoinError, spawn_blocking};

use self::changes::Changes;
use self::disk::{Disk, System};
use self::files::{Files, failed};
use self::layout::Layout;
use self::recent::Recent;
use self::trust::Trust;
use self::uploads::Uploads;
use self::used::Used;
use super::{Durability, Error, StoredManifest, TagState, Verified, Verifying};

/// The layout this program writes; see [`Layout`].
const FORMAT: u32 = 2;

/// How the drafts of another process than the one that serves begin.
const VISITOR: char = 'v';

/// The store in a folder.
pub struct Filesystem {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    files: Files,
    uploads: Uploads,
    used: Used,
    trust: Arc<Trust>,
    recent_manifests: Recent<StoredManifest>,
    recent_tags: Recent<TagState>,
    changes: Changes,
    /// Locked as long as the store is open.
    _lock: File,
}

impl Filesystem {
    /// Opens the store in `root`, making it where there is none. Blocking.
    ///
    /// # Errors
    /// Another process has it open, a newer program wrote it, or the disk refuses.
    pub fn open(root: &Path, durability: Durability) -> Result<Self, Error> {
        Self::open_on(Arc::new(System), root, durability)
    }

    /// Opens the store that another process may be serving, to look at it or to remove from it.
    /// Blocking.
    ///
    /// # Errors
    /// There is no store, or none of this program's format; one that is being migrated is in use.
    pub fn beside(root: &Path, durability: Durability) -> Result<Self, Error> {
        let root = &path::absolute(root).map_err(|e| failed("find", root, e))?;
        let layout = Layout::new(root);
        let found = migrate::format(&layout)?;
        let visitors = match found {
            None => Err(Error::NoStore(root.display().to_string())),
            Some(_) => open_to_lock(&layout.visitors()),
        }?;
        take(&layout, visitors.try_lock_shared())?;
        match migrate::format(&layout)? {
            Some(FORMAT) => {}
            _ => return Err(Error::OldFormat(root.display().to_string())),
        }
        let prefix = format!("{VISITOR}{}-", std::process::id());
        let files = Files::new(root, layout.temporary(), durability, Arc::new(System), prefix);
        Ok(Self { inner: Arc::new(Inner::new(layout, files, visitors)) })
    }

    /// Looks through the whole store for what is not as it was stored; `progress` gets the number of
    /// bytes hashed since it was last called, from several threads. Pushes and pulls may go on.
    /// Blocking.
    ///
    /// # Errors
    /// The disk refuses. Damage is no error.
    pub fn verify(
        &self,
        how: Verifying,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Verified, Error> {
        self.inner.verify(how, progress)
    }

    fn open_on(disk: Arc<dyn Disk>, root: &Path, durability: Durability) -> Result<Self, Error> {
        let root = &path::absolute(root).map_err(|e| failed("find", root, e))?;
        let layout = Layout::new(root);
        let files = Files::new(root, layout.temporary(), durability, disk, String::new());
        files.make_folder(root)?;
        let lock = start(&layout, &files)?;
        files.make_folder(&layout.uploads())?;
        let inner = Inner::new(layout, files, lock);
        inner.resume_uploads()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs work on files where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        spawn_blocking(move || work(&inner))
            .await
            .unwrap_or_else(|error| Err(did_not_finish(error)))
    }
}

fn did_not_finish(error: JoinError) -> Error {
    Error::Io { doing: "finish work on files".to_owned(), source: error.into() }
}

impl Inner {
    fn new(layout: Layout, files: Files, lock: File) -> Self {
        let changes = Changes::new(layout.turn(), layout.gate());
        Self {
            layout,
            files,
            uploads: Uploads::default(),
            used: Used::default(),
            trust: Arc::default(),
            recent_manifests: Recent::default(),
            recent_tags: Recent::default(),
            changes,
            _lock: lock,
        }
    }

    fn probe(&self) -> Result<(), Error> {
        let format = self.layout.format();
        files::read(&format)?
            .ok_or_else(|| Error::Damaged(format!("{}: not there", format.display())))?;
        self.files.write(&self.layout.temporary().join("probe"), &[b"probe"])
    }
}

/// Takes the store for this process, and brings it into the layout of this program.
fn start(layout: &Layout, files: &Files) -> Result<File, Error> {
    let lock = open_to_lock(&layout.lock())?;
    take(layout, lock.try_lock())?;
    let found = migrate::format(layout)?;
    empty_temporary(layout, files)?;
    if found != Some(FORMAT) {
        let visitors = open_to_lock(&layout.visitors())?;
        take(layout, visitors.try_lock())?;
        migrate::migrate(layout, files, found)?;
    }
    // Made by who serves: another user's `prune` would make them for itself alone.
    for path in [layout.turn(), layout.gate(), layout.prune(), layout.visitors()] {
        open_to_lock(&path)?;
    }
    Ok(lock)
}

fn open_to_lock(path: &Path) -> Result<File, Error> {
    System.open(path).map_err(|e| failed("open", path, e))
}

fn take(layout: &Layout, locked: Result<(), TryLockError>) -> Result<(), Error> {
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(layout.root().display().to_string())),
        Err(TryLockError::Error(error)) => Err(failed("lock", layout.root(), error)),
    }
}

/// What has no name is of no use to anybody, but to a process that prunes beside us.
fn empty_temporary(layout: &Layout, files: &Files) -> Result<(), Error> {
    let temporary = layout.temporary();
    for name in files::names(&temporary)?.unwrap_or_default() {
        let path = temporary.join(&name);
        // The text of a link is a number, and so is the name of a folder beside it.
        let is_folder = path.symlink_metadata().is_ok_and(|entry| entry.is_dir());
        match (name.starts_with(VISITOR), is_folder) {
            (true, _) => {}
            (false, true) => files.remove_all(&path)?,
            (false, false) => drop(files.remove(&path)?),
        }
    }
    files.make_folder(&temporary)
}
