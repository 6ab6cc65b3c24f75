use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::Disk;
use super::drafts::{Draft, Drafts};
use crate::storage::{Durability, Error};

/// How many folders are remembered to be on the disk for good.
const REMEMBERED: usize = 10_000;

/// Changes files such that at every moment each is either as before or as after.
///
/// What is to last is a [`Draft`] first. It is synced, placed by a rename, and then the folder of its
/// name is synced. Work that may sync at once is given at once, so that one commit of the disk's journal
/// serves it all.
pub(super) struct Files {
    /// Makes what is placed later.
    pub(super) drafts: Drafts,
    root: PathBuf,
    durability: Durability,
    disk: Arc<dyn Disk>,
    lasting: Mutex<HashSet<PathBuf>>,
}

/// Folders with names that may not last yet.
#[derive(Default)]
pub(super) struct Unsynced(BTreeSet<PathBuf>);

impl Files {
    pub(super) fn new(
        root: &Path,
        temporary: PathBuf,
        durability: Durability,
        disk: Arc<dyn Disk>,
        prefix: String,
    ) -> Self {
        let drafts = Drafts::new(temporary, durability, Arc::clone(&disk), prefix);
        Self { drafts, root: root.to_owned(), durability, disk, lasting: Mutex::default() }
    }

    /// Writes a whole file.
    pub(super) fn write(&self, path: &Path, parts: &[&[u8]]) -> Result<(), Error> {
        let draft = self.drafts.file(parts)?;
        self.drafts.sync(&[&draft])?;
        let mut unsynced = Unsynced::default();
        self.place(draft, path, &mut unsynced)?;
        self.settle(unsynced)
    }

    /// Before the rename of a folder: the names in it.
    pub(super) fn sync_names(&self, folder: &Path) -> Result<(), Error> {
        if !self.commits() {
            return Ok(());
        }
        self.disk.sync_folder(folder).map_err(|e| failed("sync", folder, e))
    }

    /// Gives a draft its name, making the folder where needed.
    pub(super) fn place(
        &self,
        draft: Draft,
        to: &Path,
        unsynced: &mut Unsynced,
    ) -> Result<(), Error> {
        self.rename(draft.path(), to, unsynced)?;
        draft.placed();
        Ok(())
    }

    /// As `place`; gives the draft back with the system's own error.
    pub(super) fn try_place(
        &self,
        draft: Draft,
        to: &Path,
        unsynced: &mut Unsynced,
    ) -> Result<(), (Draft, io::Error)> {
        match self.try_rename(draft.path(), to, unsynced) {
            Ok(()) => {
                draft.placed();
                Ok(())
            }
            Err(error) => Err((draft, error)),
        }
    }

    /// Moves a finished file to its place, making the folder where needed.
    pub(super) fn rename(
        &self,
        from: &Path,
        to: &Path,
        unsynced: &mut Unsynced,
    ) -> Result<(), Error> {
        self.try_rename(from, to, unsynced).map_err(|e| failed("rename to", to, e))
    }

    /// As `rename`, with the system's own error.
    fn try_rename(&self, from: &Path, to: &Path, unsynced: &mut Unsynced) -> io::Result<()> {
        let folder = to.parent().unwrap_or(to);
        match self.disk.rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.try_make_folder(folder, unsynced)?;
                self.disk.rename(from, to)?;
            }
            result => result?,
        }
        self.note(folder, unsynced);
        Ok(())
    }

    /// A name in this folder is new. So may be the folder's own and those above it: another thread may
    /// have made them just now, and its sync may come later than our answer.
    pub(super) fn note(&self, folder: &Path, unsynced: &mut Unsynced) {
        if !self.commits() {
            return;
        }
        unsynced.0.insert(folder.to_owned());
        let lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut below = folder;
        while below != self.root && !lasting.contains(below) {
            let Some(above) = below.parent() else { break };
            unsynced.0.insert(above.to_owned());
            below = above;
        }
    }

    /// After renames and removals: the names.
    pub(super) fn settle(&self, unsynced: Unsynced) -> Result<(), Error> {
        for folder in &unsynced.0 {
            self.disk.sync_folder(folder).map_err(|e| failed("sync", folder, e))?;
        }
        let mut lasting = self.lasting.lock().unwrap_or_else(PoisonError::into_inner);
        if lasting.len() > REMEMBERED {
            lasting.clear();
        }
        // Whose folder above was synced along.
        let synced =
            |folder: &&PathBuf| folder.parent().is_some_and(|above| unsynced.0.contains(above));
        lasting.extend(unsynced.0.iter().filter(synced).cloned());
        Ok(())
    }

    /// Removes a file; says whether there was one.
    pub(super) fn remove(&self, path: &Path) -> Result<bool, Error> {
        let mut unsynced = Unsynced::default();
        let removed = self.remove_unsynced(path, &mut unsynced)?;
        self.settle(unsynced)?;
        Ok(removed)
    }

    /// As `remove`, for several at once.
    pub(super) fn remove_unsynced(
        &self,
        path: &Path,
        unsynced: &mut Unsynced,
    ) -> Result<bool, Error> {
        match self.disk.remove(path) {
            Ok(()) => {
                if self.commits() {
                    unsynced.0.insert(path.parent().unwrap_or(path).to_owned());
                }
                Ok(true)
            }
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(failed("remove", path, error)),
        }
    }

    /// Takes a file or folder out of its place; it is removed with the draft.
    pub(super) fn withdraw(
        &self,
        path: &Path,
        unsynced: &mut Unsynced,
    ) -> Result<Option<Draft>, Error> {
        let to = self.drafts.next_path();
        match self.try_rename(path, &to, &mut Unsynced::default()) {
            Ok(()) => {
                self.note(path.parent().unwrap_or(path), unsynced);
                Ok(Some(self.drafts.at(to)))
            }
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed("remove", path, error)),
        }
    }

    /// Removes a folder that may not be empty, and then stays.
    pub(super) fn remove_if_empty(&self, folder: &Path) {
        // A folder more does no harm.
        let _ = self.disk.remove_folder(folder);
    }

    /// Removes a folder with all in it, of which nothing is to last.
    pub(super) fn remove_all(&self, folder: &Path) -> Result<(), Error> {
        remove_all(&*self.disk, folder).map_err(|e| failed("remove", folder, e))
    }

    /// Makes a folder and those above it.
    pub(super) fn make_folder(&self, folder: &Path) -> Result<(), Error> {
        let mut unsynced = Unsynced::default();
        self.try_make_folder(folder, &mut unsynced).map_err(|e| failed("create", folder, e))?;
        self.settle(unsynced)
    }

    fn try_make_folder(&self, folder: &Path, unsynced: &mut Unsynced) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let above = folder.parent().unwrap_or(folder);
        self.try_make_folder(above, unsynced)?;
        // It may have been there before, and was removed.
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner).remove(folder);
        match self.disk.make_folder(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => {
                if self.commits() {
                    unsynced.0.insert(above.to_owned());
                }
                Ok(())
            }
        }
    }

    /// Opens the file of an upload, making it where it is absent.
    pub(super) fn open(&self, path: &Path) -> Result<File, Error> {
        self.disk.open(path).map_err(|e| failed("open", path, e))
    }

    /// Writes into an open file.
    pub(super) fn append(
        &self,
        file: &File,
        path: &Path,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        self.disk.write(file, path, offset, bytes).map_err(|e| failed("write", path, e))
    }

    /// Cuts an open file.
    pub(super) fn cut(&self, file: &File, path: &Path, length: u64) -> Result<(), Error> {
        self.disk.cut(file, path, length).map_err(|e| failed("cut", path, e))
    }

    /// Before a rename: the bytes of a file.
    pub(super) fn sync_data(&self, file: &File, path: &Path) -> Result<(), Error> {
        if !self.commits() {
            return Ok(());
        }
        self.disk.sync_file(file, path).map_err(|e| failed("sync", path, e))
    }

    /// Whether what is acknowledged has to survive a loss of power.
    pub(super) fn commits(&self) -> bool {
        self.durability == Durability::Commit
    }
}

/// Removes a folder with all in it.
pub(super) fn remove_all(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let removed = match entry.file_type()?.is_dir() {
            true => remove_all(disk, &entry.path()),
            false => disk.remove(&entry.path()),
        };
        match removed {
            Err(error) if !is_absent(&error) => return Err(error),
            _ => {}
        }
    }
    match disk.remove_folder(folder) {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Reads a whole file that may be absent.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(failed("read", path, error)),
    }
}

/// The names in a folder, sorted; `None` if it is absent.
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
