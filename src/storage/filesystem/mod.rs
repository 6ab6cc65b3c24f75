//! A store in a folder of a local disk, served by one process.
//!
//! Every file appears by a rename and is whole from its first moment, so that a process killed at any
//! instant leaves nothing half visible; what it was still writing is removed at the next start.
//! Work on files runs on the blocking threads of tokio, and no thread waits there for a client.

mod blobs;
mod driver;
mod files;
mod layout;
mod lists;
mod manifests;
mod reader;
#[cfg(test)]
mod tests;
mod uploads;

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::spawn_blocking;

use self::files::{Files, create_private, failed};
use self::layout::Layout;
use self::uploads::{Uploads, Writer};
use super::{ByteStream, Durability, Error};

/// The layout this program writes; see [`Layout`].
const FORMAT: u32 = 1;

/// How many bytes of an upload are gathered before a thread writes them.
const BATCH: usize = 256 * 1024;

/// The store in a folder.
pub struct Filesystem {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    files: Files,
    uploads: Uploads,
    /// Taken shared to add and alone to remove, so that nothing goes between the check that it is
    /// there and the manifest that needs it.
    changes: RwLock<()>,
    /// Locked as long as the store is open.
    _lock: File,
}

impl Filesystem {
    /// Opens the store in `root`, making it where there is none. Blocking.
    ///
    /// # Errors
    /// Another process has it open, a newer program wrote it, or the disk refuses.
    pub fn open(root: &Path, durability: Durability) -> Result<Self, Error> {
        let layout = Layout::new(root);
        let files = Files::new(layout.temporary(), durability);
        files.make_folder(root)?;
        let lock = lock(&layout)?;
        check_format(&layout, &files)?;
        files.make_folder(&layout.uploads())?;
        let inner = Inner {
            layout,
            files,
            uploads: Uploads::default(),
            changes: RwLock::default(),
            _lock: lock,
        };
        inner.resume_uploads()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs work on files where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        spawn_blocking(move || work(&inner)).await.unwrap_or_else(|error| {
            Err(Error::Io { doing: "finish work on files".to_owned(), source: error.into() })
        })
    }

    /// Writes `bytes`, gathering the next batch while the last is written and hashed.
    async fn fill(&self, writer: Writer, mut bytes: ByteStream) -> Result<Writer, Error> {
        let mut writer = writer;
        let mut ended = false;
        let mut batch = gather(&mut bytes, &mut ended).await;
        loop {
            let parts = std::mem::take(&mut batch.parts);
            let writing = self.blocking(move |inner| {
                inner.write(&mut writer, &parts)?;
                Ok(writer)
            });
            if ended {
                writer = writing.await?;
                return batch.result.map_err(Error::BrokenOff).map(|()| writer);
            }
            let (written, next) = tokio::join!(writing, gather(&mut bytes, &mut ended));
            writer = written?;
            batch = next;
        }
    }
}

/// Bytes of an upload, and whether the stream broke behind them.
struct Batch {
    parts: Vec<Bytes>,
    result: std::io::Result<()>,
}

async fn gather(bytes: &mut ByteStream, ended: &mut bool) -> Batch {
    let mut batch = Batch { parts: Vec::new(), result: Ok(()) };
    let mut length = 0;
    while length < BATCH {
        match bytes.next().await {
            Some(Ok(part)) => {
                length += part.len();
                batch.parts.push(part);
            }
            end => {
                *ended = true;
                batch.result = end.map_or(Ok(()), |end| end.map(drop));
                break;
            }
        }
    }
    batch
}

fn lock(layout: &Layout) -> Result<File, Error> {
    let path = layout.lock();
    let file = create_private(&path).map_err(|e| failed("open", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(layout.root().display().to_string())),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path, error)),
    }
}

/// Refuses a layout this program does not know before anything is touched.
fn check_format(layout: &Layout, files: &Files) -> Result<(), Error> {
    let path = layout.format();
    let found = files::read(&path)?;
    if let Some(found) = &found {
        let found = String::from_utf8_lossy(found).trim().to_owned();
        if found.parse::<u32>().ok() != Some(FORMAT) {
            return Err(Error::UnknownFormat {
                folder: layout.root().display().to_string(),
                found: found.chars().take(20).collect(),
                known: FORMAT,
            });
        }
    }
    // What never got its final name is of no use to anybody.
    let temporary = layout.temporary();
    match fs::remove_dir_all(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed("empty", &temporary, error));
        }
        _ => files.make_folder(&temporary)?,
    }
    match found {
        Some(_) => Ok(()),
        None => files.write(&path, &[format!("{FORMAT}\n").as_bytes()]),
    }
}

impl Inner {
    fn probe(&self) -> Result<(), Error> {
        let format = self.layout.format();
        files::read(&format)?
            .ok_or_else(|| Error::Damaged(format!("{}: not there", format.display())))?;
        self.files.write(&self.layout.temporary().join("probe"), &[b"probe"])
    }

    /// Held while something is added.
    fn changing(&self) -> RwLockReadGuard<'_, ()> {
        self.changes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while something is removed.
    fn removing(&self) -> RwLockWriteGuard<'_, ()> {
        self.changes.write().unwrap_or_else(PoisonError::into_inner)
    }
}
