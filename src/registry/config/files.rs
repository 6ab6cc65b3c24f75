use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use tempfile::NamedTempFile;

/// Makes a folder, and those above it, that only its owner enters.
pub(super) fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a whole file that only its owner reads; it is never seen half written.
pub(super) fn private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    written(path, bytes)?.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Waits until nobody else changes a folder; whoever holds the file may.
pub(in crate::registry) fn lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.lock()?;
    Ok(file)
}

/// Reads a file that may be absent.
pub(super) fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Warns where everybody on the machine can read what is a secret.
pub(in crate::registry) fn warn_if_open(path: &Path, holds: &str) {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.mode());
    if mode & 0o004 != 0 {
        let mode = format!("{:04o}", mode & 0o7777);
        tracing::warn!(file = %path.display(), mode, "everybody here can read {holds}: chmod 600");
    }
}

/// The key tokens are signed with, if it is there.
pub(in crate::registry) fn token_key(path: &Path) -> io::Result<Option<[u8; 32]>> {
    let wrong = |reason| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    let Some(bytes) = read_if_there(path)? else { return Ok(None) };
    let Ok(key) = <[u8; 32]>::try_from(bytes) else {
        return wrong("it does not hold exactly 32 bytes");
    };
    // What somebody wrote there to have a file is what somebody else can guess.
    if key.iter().all(|byte| Some(byte) == key.first()) {
        return wrong("its 32 bytes are all the same and no secret");
    }
    Ok(Some(key))
}

/// Makes the key tokens are signed with. Of several that make it at the same time one wins.
pub(in crate::registry) fn new_token_key(path: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    match written(path, &key)?.persist_noclobber(path) {
        Ok(_) => Ok(key),
        Err(failed) => match token_key(path) {
            Ok(Some(theirs)) => Ok(theirs),
            _ => Err(failed.error),
        },
    }
}

/// A file beside `path` that only its owner reads, with these bytes.
fn written(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file =
        tempfile::Builder::new().prefix(".new-").tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}
