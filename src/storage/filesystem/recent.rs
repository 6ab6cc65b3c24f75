use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::files::{failed, is_absent};
use crate::storage::Error;

/// How many bytes of memory are filled, about; then it starts anew.
const ROOM: usize = 4 * 1024 * 1024;

/// What takes more is read each time.
const LARGE: usize = 256 * 1024;

/// What an entry takes beside the bytes of its file.
const ENTRY: usize = 512;

/// A file changed since is not remembered: a next change could leave it looking the same, as the clocks
/// of filesystems tick slowly.
const SETTLED: Duration = Duration::from_secs(2);

/// What small files said when they were last read. A file that was touched, replaced or removed since,
/// by whomever, is read again: each answer is preceded by a look at the file.
pub(super) struct Recent<T> {
    kept: Mutex<Kept<T>>,
    settled: Duration,
}

struct Kept<T> {
    files: HashMap<PathBuf, (Look, T)>,
    size: usize,
}

/// When and how a file was looked at, just before it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    seen: Seen,
    at: SystemTime,
}

/// What a file looked like. Whatever is done to a file, to its name or to its times sets `changed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file that was read.
pub(super) struct Fresh {
    pub(super) bytes: Vec<u8>,
    pub(super) modified: SystemTime,
    pub(super) look: Look,
}

impl From<&Metadata> for Seen {
    fn from(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

impl Fresh {
    /// Reads a file. Blocking.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let read = || {
            let at = SystemTime::now();
            let mut file = File::open(path)?;
            let metadata = file.metadata()?;
            let size = usize::try_from(metadata.len()).unwrap_or_default();
            let mut bytes = Vec::with_capacity(size.min(LARGE) + 1);
            file.read_to_end(&mut bytes)?;
            let modified = metadata.modified()?;
            Ok(Self { bytes, modified, look: Look { seen: (&metadata).into(), at } })
        };
        match read() {
            Ok(read) => Ok(Some(read)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed("read", path, error)),
        }
    }
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self::new(SETTLED)
    }
}

impl<T> Recent<T> {
    pub(super) fn new(settled: Duration) -> Self {
        Self { kept: Mutex::new(Kept { files: HashMap::new(), size: 0 }), settled }
    }

    fn locked(&self) -> MutexGuard<'_, Kept<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Recent<T> {
    /// What a file said, if it is still the one that was read. Blocking.
    pub(super) fn get(&self, path: &Path) -> Option<T> {
        let (look, value) = self.locked().files.get(path).cloned()?;
        let now = path.symlink_metadata();
        now.is_ok_and(|now| Seen::from(&now) == look.seen).then_some(value)
    }

    /// Remembers what a file says.
    pub(super) fn add(&self, path: PathBuf, look: Look, value: T) {
        let size = look.weight();
        if size > LARGE || !look.is_settled(self.settled) {
            return;
        }
        let mut kept = self.locked();
        if kept.size + size > ROOM {
            *kept = Kept { files: HashMap::new(), size: 0 };
        }
        kept.size += size;
        if let Some((old, _)) = kept.files.insert(path, (look, value)) {
            kept.size -= old.weight();
        }
    }
}

impl Look {
    fn weight(&self) -> usize {
        usize::try_from(self.seen.size).unwrap_or(usize::MAX).saturating_add(ENTRY)
    }

    /// Whether what happens to the file from now on will be seen in its times.
    fn is_settled(&self, age: Duration) -> bool {
        let (seconds, nanoseconds) = self.seen.changed;
        let seconds = u64::try_from(seconds).unwrap_or_default();
        let changed = Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or_default());
        let at = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        at.saturating_sub(age) >= changed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    fn remembered(recent: &Recent<Vec<u8>>, path: &Path) {
        let Fresh { bytes, look, .. } = Fresh::read(path).unwrap().unwrap();
        recent.add(path.to_owned(), look, bytes);
    }

    #[test]
    fn a_file_that_was_changed_just_now_is_not_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"one").unwrap();
        let recent = Recent::new(Duration::from_secs(60 * 60));
        remembered(&recent, &path);
        assert_eq!(recent.get(&path), None);
    }

    #[test]
    fn a_file_is_remembered_until_it_is_replaced_or_gone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, draft) = (folder.path().join("file"), folder.path().join("draft"));
        fs::write(&path, b"one").unwrap();
        let recent = Recent::new(Duration::ZERO);
        remembered(&recent, &path);
        assert_eq!(recent.get(&path).unwrap(), b"one");
        fs::write(&draft, b"two").unwrap();
        fs::rename(&draft, &path).unwrap();
        assert_eq!(recent.get(&path), None);
        remembered(&recent, &path);
        assert_eq!(recent.get(&path).unwrap(), b"two");
        fs::remove_file(&path).unwrap();
        assert_eq!(recent.get(&path), None);
    }

    #[test]
    fn memory_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let recent = Recent::new(Duration::ZERO);
        let large = folder.path().join("large");
        fs::write(&large, vec![0; LARGE]).unwrap();
        remembered(&recent, &large);
        assert_eq!(recent.get(&large), None);
        let path = folder.path().join("file");
        fs::write(&path, vec![0; LARGE / 2]).unwrap();
        let Fresh { look, .. } = Fresh::read(&path).unwrap().unwrap();
        for number in 0..100 {
            recent.add(folder.path().join(number.to_string()), look, Vec::new());
            recent.add(path.clone(), look, Vec::new());
            let kept = recent.locked();
            assert!(kept.size <= ROOM);
            assert_eq!(kept.size, kept.files.len() * look.weight());
        }
    }
}
