use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::storage::{Durability, Error};

/// Changes files such that at every moment each is either as before or as after.
#[derive(Debug)]
pub(super) struct Files {
    temporary: PathBuf,
    durability: Durability,
    next: AtomicU64,
}

impl Files {
    pub(super) fn new(temporary: PathBuf, durability: Durability) -> Self {
        Self { temporary, durability, next: AtomicU64::new(0) }
    }

    /// Writes a whole file.
    pub(super) fn write(&self, path: &Path, parts: &[&[u8]]) -> Result<(), Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let temporary = self.temporary.join(number.to_string());
        let result = self.write_through(&temporary, path, parts);
        if result.is_err() {
            // The temporary folder is emptied at the next start too.
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    fn write_through(&self, temporary: &Path, path: &Path, parts: &[&[u8]]) -> Result<(), Error> {
        let mut file = create_private(temporary).map_err(|e| failed("create", temporary, e))?;
        for part in parts {
            file.write_all(part).map_err(|e| failed("write", temporary, e))?;
        }
        self.sync_data(&file, temporary)?;
        self.rename(temporary, path)
    }

    /// Moves a finished file to its place, making the folder where needed.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let folder = to.parent().unwrap_or(to);
        match fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folder(folder)?;
                fs::rename(from, to).map_err(|e| failed("rename to", to, e))?;
            }
            result => result.map_err(|e| failed("rename to", to, e))?,
        }
        self.sync_folder(folder)
    }

    /// Removes a file; says whether there was one.
    pub(super) fn remove(&self, path: &Path) -> Result<bool, Error> {
        match fs::remove_file(path) {
            Ok(()) => {
                self.sync_folder(path.parent().unwrap_or(path))?;
                Ok(true)
            }
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(failed("remove", path, error)),
        }
    }

    /// Makes a folder and those above it.
    pub(super) fn make_folder(&self, folder: &Path) -> Result<(), Error> {
        if folder.is_dir() {
            return Ok(());
        }
        let above = folder.parent().unwrap_or(folder);
        self.make_folder(above)?;
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(failed("create", folder, error))
            }
            // Also when another thread made it: its sync may come later than our answer.
            _ => self.sync_folder(above),
        }
    }

    /// Before a rename: the bytes.
    pub(super) fn sync_data(&self, file: &File, path: &Path) -> Result<(), Error> {
        match self.durability {
            Durability::Process => Ok(()),
            Durability::Commit => file.sync_data().map_err(|e| failed("sync", path, e)),
        }
    }

    /// After a rename: the name.
    fn sync_folder(&self, folder: &Path) -> Result<(), Error> {
        match self.durability {
            Durability::Process => Ok(()),
            Durability::Commit => File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|e| failed("sync", folder, e)),
        }
    }
}

/// Makes or empties a file that only its owner reads.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).read(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Reads a whole file that may be absent.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

/// The names in a folder; `None` if it is absent.
pub(super) fn names(folder: &Path) -> Result<Option<Vec<String>>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(failed("list", folder, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| failed("list", folder, e))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(Some(names))
}

/// Whether there is no such file, also because something on the way is no folder.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

pub(super) fn failed(doing: &str, path: &Path, source: io::Error) -> Error {
    Error::Io { doing: format!("{doing} {}", path.display()), source }
}
