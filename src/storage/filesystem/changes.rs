use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, System};
use super::files::failed;
use crate::storage::Error;

/// Keeps apart those who add and those who remove, in all processes on this store. Who adds holds it
/// shared, so that nothing goes between the check that it is there and the manifest that needs it; who
/// removes holds it alone, and shortly.
///
/// The locks are the system's, on two files, and end with their process. Everybody passes `turn` on the
/// way to `gate`: who waits there to be alone keeps those who come later from going first for ever.
#[derive(Debug)]
pub(super) struct Changes {
    turn: PathBuf,
    gate: PathBuf,
}

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    _gate: File,
}

impl Changes {
    pub(super) fn new(turn: PathBuf, gate: PathBuf) -> Self {
        Self { turn, gate }
    }

    /// Held while something is added. Blocking. Who holds it must not ask for it again: somebody may wait
    /// in between, for both.
    pub(super) fn shared(&self) -> Result<Held, Error> {
        let _turn = locked(&self.turn, File::lock_shared)?;
        Ok(Held { _gate: locked(&self.gate, File::lock_shared)? })
    }

    /// Held while something is removed. Blocking.
    pub(super) fn alone(&self) -> Result<Held, Error> {
        let _turn = locked(&self.turn, File::lock)?;
        Ok(Held { _gate: locked(&self.gate, File::lock)? })
    }
}

fn locked(path: &Path, lock: impl Fn(&File) -> io::Result<()>) -> Result<File, Error> {
    // A lock is no change that has to last.
    let file = System.open(path).map_err(|e| failed("open", path, e))?;
    lock(&file).map_err(|e| failed("lock", path, e))?;
    Ok(file)
}
