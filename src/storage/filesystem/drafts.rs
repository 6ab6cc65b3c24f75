use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::Disk;
use super::files::{failed, remove_all};
use crate::storage::{Durability, Error};

/// Makes files and folders that have no name yet, in the temporary folder.
pub(super) struct Drafts {
    folder: PathBuf,
    durability: Durability,
    disk: Arc<dyn Disk>,
    /// First part of their names there: another process must not take the same.
    prefix: String,
    next: AtomicU64,
}

/// A file or folder that has no name yet. Without one at its end it is removed.
pub(super) struct Draft {
    path: PathBuf,
    file: Option<File>,
    disk: Arc<dyn Disk>,
}

impl Drafts {
    pub(super) fn new(
        folder: PathBuf,
        durability: Durability,
        disk: Arc<dyn Disk>,
        prefix: String,
    ) -> Self {
        Self { folder, durability, disk, prefix, next: AtomicU64::new(0) }
    }

    /// A file of these bytes, not synced.
    pub(super) fn file(&self, parts: &[&[u8]]) -> Result<Draft, Error> {
        let path = self.next_path();
        let file = self.disk.create(&path).map_err(|e| failed("create", &path, e))?;
        let mut draft = self.at(path);
        let mut offset = 0;
        for part in parts {
            let written = self.disk.write(&file, &draft.path, offset, part);
            written.map_err(|e| failed("write", &draft.path, e))?;
            offset += part.len() as u64;
        }
        draft.file = Some(file);
        Ok(draft)
    }

    /// A second name for a file that nobody writes to.
    pub(super) fn shared(&self, file: &Path) -> io::Result<Draft> {
        let path = self.next_path();
        self.disk.share(file, &path)?;
        Ok(self.at(path))
    }

    /// A symbolic link with this text.
    pub(super) fn link(&self, text: &str) -> Result<Draft, Error> {
        let path = self.next_path();
        self.disk.link(text, &path).map_err(|e| failed("create", &path, e))?;
        Ok(self.at(path))
    }

    /// An empty folder.
    pub(super) fn folder(&self) -> Result<Draft, Error> {
        let path = self.next_path();
        self.disk.make_folder(&path).map_err(|e| failed("create", &path, e))?;
        Ok(self.at(path))
    }

    /// What was moved to one of our paths.
    pub(super) fn at(&self, path: PathBuf) -> Draft {
        Draft { path, file: None, disk: Arc::clone(&self.disk) }
    }

    /// A path that nothing else gets.
    pub(super) fn next_path(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!("{}{number}", self.prefix))
    }

    /// Before a rename: the bytes. Each on a thread of its own, so that the disk takes them together.
    pub(super) fn sync(&self, drafts: &[&Draft]) -> Result<(), Error> {
        if self.durability != Durability::Commit {
            return Ok(());
        }
        let Some((first, others)) = drafts.split_first() else { return Ok(()) };
        std::thread::scope(|scope| {
            let others: Vec<_> =
                others.iter().map(|draft| scope.spawn(move || draft.sync())).collect();
            let result = first.sync();
            others.into_iter().fold(result, |result, other| {
                let died = || Err(Error::Damaged("a thread died while it synced".to_owned()));
                result.and(other.join().unwrap_or_else(|_| died()))
            })
        })
    }
}

impl Draft {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// It has got its name, and is removed no more.
    pub(super) fn placed(mut self) {
        self.path = PathBuf::new();
    }

    fn sync(&self) -> Result<(), Error> {
        let Some(file) = &self.file else { return Ok(()) };
        self.disk.sync_file(file, &self.path).map_err(|e| failed("sync", &self.path, e))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        // The temporary folder is emptied at the next start too.
        if self.disk.remove(&self.path).is_err() {
            let _ = remove_all(&*self.disk, &self.path);
        }
    }
}
