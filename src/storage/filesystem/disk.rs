use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, symlink};
use std::path::Path;

/// Every change the driver makes to its folder, one system call each: a test puts another disk in this
/// place, one that writes down what is asked of it, or fails.
pub(super) trait Disk: Send + Sync {
    /// Makes or empties a file that only its owner reads.
    fn create(&self, path: &Path) -> io::Result<File>;

    /// Makes a file that only its owner reads; what is there already stays.
    fn open(&self, path: &Path) -> io::Result<File>;

    /// Writes into a file, whose path is `path`.
    fn write(&self, file: &File, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file, whose path is `path`.
    fn cut(&self, file: &File, path: &Path, length: u64) -> io::Result<()>;

    /// Makes a symbolic link. It is whole as soon as its name is there.
    fn link(&self, text: &str, path: &Path) -> io::Result<()>;

    /// Gives a file a second name.
    fn share(&self, file: &Path, path: &Path) -> io::Result<()>;

    /// Makes a folder that only its owner reads.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, a link or a folder.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file or a link.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the bytes of a file last.
    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder last.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The disk of this computer.
pub(super) struct System;

impl Disk for System {
    fn create(&self, path: &Path) -> io::Result<File> {
        private().truncate(true).open(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        private().truncate(false).open(path)
    }

    fn write(&self, file: &File, _: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn cut(&self, file: &File, _: &Path, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn link(&self, text: &str, path: &Path) -> io::Result<()> {
        symlink(text, path)
    }

    fn share(&self, file: &Path, path: &Path) -> io::Result<()> {
        fs::hard_link(file, path)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_file(&self, file: &File, _: &Path) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).read(true).create(true).mode(0o600);
    options
}
