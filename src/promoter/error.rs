use std::path::PathBuf;

use crate::{client, copy};

/// Why images were not promoted, apart from what is wrong in manifests and what a rule forbids.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file whose content is not what it has to be.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// Arguments that do not fit together or are no names.
    #[error("{0}")]
    Argument(String),
    /// An older state that cannot be had from git.
    #[error("cannot read the manifests at {revision}: {reason}")]
    Git {
        /// Which commit was asked for.
        revision: String,
        /// What git said.
        reason: String,
    },
    /// A file that cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A safety rule says no.
    #[error("refused: {0}")]
    Refused(String),
    /// A registry failed.
    #[error(transparent)]
    Client(#[from] Box<client::Error>),
    /// An image could not be carried.
    #[error(transparent)]
    Copy(#[from] copy::Error),
}

impl From<client::Error> for Error {
    fn from(error: client::Error) -> Self {
        Self::Client(Box::new(error))
    }
}

impl Error {
    pub(super) fn unreadable(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Unreadable { path: path.into(), source }
    }

    pub(super) fn invalid(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Invalid { path: path.into(), reason: reason.to_string() }
    }
}
