use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lines::Line;

/// Above any real record: it holds as many manifests as tags.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The disk said no.
    #[error("cannot {doing} the record {file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What was being done.
        doing: Doing,
        /// What happened.
        source: io::Error,
    },
    /// It is something else, or damaged.
    #[error("{file} is no record of a promotion: {reason}")]
    Invalid {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another run uses it.
    #[error("the record {0} is in use by another run; wait for its end")]
    InUse(String),
    /// It is needed to roll back another promotion.
    #[error(
        "the record {0} holds another promotion, which could not be rolled back any more; \
         give this one a record of its own, or remove the file"
    )]
    Finished(String),
}

/// What is done with the file of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Opening it.
    Open,
    /// Reading it.
    Read,
    /// Writing it.
    Write,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// The file behind a record.
pub(super) struct RecordFile {
    path: PathBuf,
    file: Arc<File>,
}

impl RecordFile {
    /// Opens it for this run alone, and reads it. Whoever may read it sees what private images are made of.
    pub(super) async fn open(path: &Path, create: bool) -> Result<(Self, Vec<u8>), RecordError> {
        let path = path.to_owned();
        blocking(&path.clone(), Doing::Open, move || {
            let not_through_links = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(create).mode(0o600);
            let file = options.custom_flags(not_through_links).open(&path)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(Err(RecordError::InUse(shown(&path)))),
                Err(TryLockError::Error(error)) => return Err(error),
                Ok(()) => {}
            }
            let bytes = read(&file)?;
            Ok(Ok((Self { path, file: Arc::new(file) }, bytes)))
        })
        .await?
    }

    /// Opens it beside whoever uses it, only to read it.
    pub(super) async fn look(path: &Path) -> Result<(Self, Vec<u8>), RecordError> {
        let path = path.to_owned();
        blocking(&path.clone(), Doing::Read, move || {
            let file = File::open(&path)?;
            let bytes = read(&file)?;
            Ok((Self { path, file: Arc::new(file) }, bytes))
        })
        .await
    }

    /// Takes away what a run that was killed left of a line, which would spoil the next one.
    pub(super) async fn cut_to(&self, length: usize) -> Result<(), RecordError> {
        let file = Arc::clone(&self.file);
        blocking(&self.path, Doing::Write, move || file.set_len(length as u64)).await
    }

    /// Adds lines; they are on the disk when this returns.
    pub(super) async fn append(
        &self,
        lines: impl IntoIterator<Item = Line>,
    ) -> Result<(), RecordError> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, &line).map_err(|error| self.invalid(error))?;
            text.push(b'\n');
        }
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        blocking(&self.path, Doing::Write, move || {
            (&*file).write_all(&text)?;
            file.sync_all()?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        })
        .await
    }

    pub(super) fn name(&self) -> String {
        shown(&self.path)
    }

    pub(super) fn invalid(&self, reason: impl ToString) -> RecordError {
        RecordError::Invalid { file: self.name(), reason: reason.to_string() }
    }

    pub(super) fn finished(&self) -> RecordError {
        RecordError::Finished(self.name())
    }
}

impl Drop for RecordFile {
    /// A program that is being started meanwhile holds a copy of the file for a moment, and the lock with it.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

fn read(file: &File) -> io::Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    match file.take(MAX_BYTES + 1).read_to_end(&mut bytes)? as u64 {
        0..=MAX_BYTES => Ok(bytes),
        _ => Err(io::Error::other("it is larger than 512 MiB")),
    }
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    doing: Doing,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, RecordError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.flatten().map_err(|source| RecordError::Io { file: shown(path), doing, source })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
