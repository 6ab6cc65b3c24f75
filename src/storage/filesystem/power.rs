//! A disk that writes down every change, and what a loss of power may leave of it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk::{Disk, System};

/// A change, as it was asked for, or what a test knows at that moment.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Create(PathBuf),
    Open(PathBuf),
    Write(PathBuf, u64, Vec<u8>),
    Cut(PathBuf, u64),
    Link(String, PathBuf),
    Share(PathBuf, PathBuf),
    MakeFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    RemoveFolder(PathBuf),
    SyncFile(PathBuf),
    SyncFolder(PathBuf),
    Note(Note),
}

/// What has to be there.
#[derive(Debug, Clone)]
pub(super) enum Note {
    /// From here on a value may be this one too; nothing: it may be gone.
    May(String, Option<String>),
    /// It was acknowledged: it is this one.
    Is(String, Option<String>),
}

/// Does what is asked, syncs apart, and writes it down. Fails once at the step `fail_at`, or at the first
/// sync of a file.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) ops: Mutex<Vec<Op>>,
    pub(super) fail_at: Option<usize>,
    pub(super) fail_at_sync: AtomicBool,
}

impl Recorder {
    pub(super) fn note(&self, note: Note) {
        self.ops.lock().unwrap().push(Op::Note(note));
    }

    fn run<T>(&self, op: Op, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        // Held during the work, so that the order is that of the disk.
        let mut ops = self.ops.lock().unwrap();
        // A full disk takes back what was on it.
        let takes_back = matches!(op, Op::Remove(_) | Op::RemoveFolder(_));
        if self.fail_at == Some(ops.len()) && !takes_back {
            ops.push(Op::Note(Note::May("failed".to_owned(), None)));
            return Err(io::ErrorKind::StorageFull.into());
        }
        let result = work();
        if result.is_ok() {
            ops.push(op);
        }
        result
    }
}

impl Disk for Recorder {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.run(Op::Create(path.to_owned()), || System.create(path))
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        self.run(Op::Open(path.to_owned()), || System.open(path))
    }

    fn write(&self, file: &File, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let op = Op::Write(path.to_owned(), offset, bytes.to_owned());
        self.run(op, || System.write(file, path, offset, bytes))
    }

    fn cut(&self, file: &File, path: &Path, length: u64) -> io::Result<()> {
        self.run(Op::Cut(path.to_owned(), length), || System.cut(file, path, length))
    }

    fn link(&self, text: &str, path: &Path) -> io::Result<()> {
        let op = Op::Link(text.to_owned(), path.to_owned());
        self.run(op, || System.link(text, path))
    }

    fn share(&self, file: &Path, path: &Path) -> io::Result<()> {
        let op = Op::Share(file.to_owned(), path.to_owned());
        self.run(op, || System.share(file, path))
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.run(Op::MakeFolder(path.to_owned()), || System.make_folder(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Op::Rename(from.to_owned(), to.to_owned()), || System.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(Op::Remove(path.to_owned()), || System.remove(path))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.run(Op::RemoveFolder(path.to_owned()), || System.remove_folder(path))
    }

    fn sync_file(&self, _: &File, path: &Path) -> io::Result<()> {
        if self.fail_at_sync.swap(false, Ordering::Relaxed) {
            return Err(io::Error::other("the disk is broken"));
        }
        self.run(Op::SyncFile(path.to_owned()), || Ok(()))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.run(Op::SyncFolder(path.to_owned()), || Ok(()))
    }
}

/// What of the changes that were not synced a loss of power leaves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loss {
    /// Nothing.
    Everything,
    /// Every name, and no byte.
    Bytes,
    /// Every name, and zeros for bytes.
    Zeros,
    /// Each folder and each file either as synced or as it was; this is the seed.
    Some(u64),
}

/// A disk in the middle of its work.
pub(super) struct Machine {
    root: PathBuf,
    files: Vec<FileState>,
    folders: Vec<FolderState>,
    /// What has to be there, as a test knows it: the values it may have.
    pub(super) known: BTreeMap<String, BTreeSet<Option<String>>>,
}

#[derive(Default)]
struct FileState {
    now: Vec<u8>,
    synced: Option<Vec<u8>>,
}

#[derive(Default)]
struct FolderState {
    now: BTreeMap<String, Entry>,
    synced: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
enum Entry {
    File(usize),
    Link(String),
    Folder(usize),
}

impl Machine {
    pub(super) fn new(root: &Path) -> Self {
        let folders = vec![FolderState::default()];
        Self { root: root.to_owned(), files: Vec::new(), folders, known: BTreeMap::new() }
    }

    /// One more change. Says whether it could be told from before.
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(path) | Op::Open(path) => {
                let emptied = matches!(op, Op::Create(_));
                match self.entry(path) {
                    Some(Entry::File(number)) if emptied => self.files[number].now.clear(),
                    Some(_) => {}
                    None => {
                        self.files.push(FileState::default());
                        let number = self.files.len() - 1;
                        self.set(path, Some(Entry::File(number)));
                    }
                }
            }
            Op::Write(path, offset, bytes) => {
                let start = usize::try_from(*offset).unwrap();
                let file = self.file(path);
                file.now.resize(file.now.len().max(start + bytes.len()), 0);
                file.now[start..start + bytes.len()].copy_from_slice(bytes);
            }
            Op::Cut(path, length) => {
                let length = usize::try_from(*length).unwrap();
                self.file(path).now.resize(length, 0);
            }
            Op::Link(text, path) => self.set(path, Some(Entry::Link(text.clone()))),
            Op::Share(file, path) => {
                let entry = self.entry(file);
                self.set(path, entry);
            }
            Op::MakeFolder(path) => {
                // The root itself is there.
                if *path != self.root {
                    self.folders.push(FolderState::default());
                    let number = self.folders.len() - 1;
                    self.set(path, Some(Entry::Folder(number)));
                }
            }
            Op::Rename(from, to) => {
                let entry = self.entry(from).unwrap();
                self.set(from, None);
                self.set(to, Some(entry));
            }
            Op::Remove(path) | Op::RemoveFolder(path) => self.set(path, None),
            Op::SyncFile(path) => {
                let file = self.file(path);
                file.synced = Some(file.now.clone());
            }
            Op::SyncFolder(path) => {
                if let Some(number) = self.folder(path) {
                    let folder = &mut self.folders[number];
                    folder.synced = folder.now.clone();
                }
            }
            Op::Note(Note::May(what, value)) => {
                let known = self.known.entry(what.clone()).or_insert_with(|| [None].into());
                known.insert(value.clone());
            }
            Op::Note(Note::Is(what, value)) => {
                self.known.insert(what.clone(), [value.clone()].into());
            }
        }
    }

    fn parts<'a>(&self, path: &'a Path) -> Option<Vec<&'a str>> {
        let below = path.strip_prefix(&self.root).ok()?;
        let parts = below.components().map(|part| match part {
            Component::Normal(name) => name.to_str().unwrap(),
            other => panic!("{other:?}"),
        });
        Some(parts.collect())
    }

    fn folder(&self, path: &Path) -> Option<usize> {
        let mut number = 0;
        for part in self.parts(path)? {
            match self.folders[number].now.get(part) {
                Some(Entry::Folder(next)) => number = *next,
                other => panic!("{}: {other:?}", path.display()),
            }
        }
        Some(number)
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        let folder = self.folder(path.parent().unwrap()).unwrap();
        self.folders[folder].now.get(path.file_name().unwrap().to_str().unwrap()).cloned()
    }

    fn set(&mut self, path: &Path, entry: Option<Entry>) {
        let folder = self.folder(path.parent().unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match entry {
            Some(entry) => drop(self.folders[folder].now.insert(name, entry)),
            None => drop(self.folders[folder].now.remove(&name).unwrap()),
        }
    }

    fn file(&mut self, path: &Path) -> &mut FileState {
        match self.entry(path) {
            Some(Entry::File(number)) => &mut self.files[number],
            other => panic!("{}: {other:?}", path.display()),
        }
    }

    /// Writes down what is there after a loss of power at this moment.
    pub(super) fn rebuild(&self, loss: Loss, to: &Path) {
        let mut dice = match loss {
            Loss::Some(seed) => seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            _ => 1,
        };
        self.rebuild_folder(0, loss, &mut dice, to);
    }

    fn rebuild_folder(&self, number: usize, loss: Loss, dice: &mut u64, to: &Path) {
        fs::create_dir_all(to).unwrap();
        let folder = &self.folders[number];
        let as_synced = match loss {
            Loss::Everything => true,
            Loss::Bytes | Loss::Zeros => false,
            Loss::Some(_) => throw(dice),
        };
        let entries = if as_synced { &folder.synced } else { &folder.now };
        for (name, entry) in entries {
            let path = to.join(name);
            match entry {
                Entry::Folder(number) => self.rebuild_folder(*number, loss, dice, &path),
                Entry::Link(text) => symlink(text, &path).unwrap(),
                Entry::File(number) => {
                    let file = &self.files[*number];
                    let synced = file.synced.clone();
                    let bytes = match loss {
                        Loss::Zeros => synced.unwrap_or_else(|| vec![0; file.now.len()]),
                        Loss::Some(_) if throw(dice) => file.now.clone(),
                        _ => synced.unwrap_or_default(),
                    };
                    fs::write(&path, bytes).unwrap();
                }
            }
        }
    }
}

fn throw(dice: &mut u64) -> bool {
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    *dice >> 40 & 1 == 1
}
