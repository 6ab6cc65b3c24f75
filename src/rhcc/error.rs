use std::io;

use crate::{client, webapi};

/// Why a certification did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Arguments, configuration or journal are wrong.
    #[error("{0}")]
    Input(String),
    /// A safety rule forbids it; nothing was written.
    #[error("refused, nothing was written: {0}")]
    Refused(String),
    /// Somebody else writes the same tags.
    #[error("{0}")]
    Raced(String),
    /// It was not certified.
    #[error("preflight: {0}; floating tags were NOT moved")]
    NotCertified(String),
    /// The public registry does not serve it.
    #[error("{0}")]
    NotVisible(String),
    /// A registry serves what it must not.
    #[error("{0}")]
    Wrong(String),
    /// A registry could not be asked; that is never taken for "absent".
    #[error("{item}: {source}; refusing to treat as absent")]
    Client {
        /// What was being looked at or written.
        item: String,
        /// What happened.
        source: Box<client::Error>,
    },
    /// The catalog's API failed.
    #[error(transparent)]
    Api(#[from] webapi::Error),
    /// Something local did not work.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What happened.
        source: io::Error,
    },
}

impl Error {
    pub(super) fn client(item: &impl ToString, source: client::Error) -> Self {
        Self::Client { item: item.to_string(), source: Box::new(source) }
    }

    pub(super) fn io(doing: &str, source: io::Error) -> Self {
        Self::Io { doing: doing.to_owned(), source }
    }

    /// One word for the meaning, for machines.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input(_) => "input",
            Self::Refused(_) => "refused",
            Self::Raced(_) => "raced",
            Self::NotCertified(_) => "not-certified",
            Self::NotVisible(_) => "not-visible",
            Self::Wrong(_) => "damaged",
            Self::Client { source, .. } => source.kind(),
            Self::Api(error) => error.kind(),
            Self::Io { .. } => "io",
        }
    }
}
