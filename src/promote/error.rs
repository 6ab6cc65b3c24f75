use std::fmt;

use super::RecordError;
use crate::client;

/// Why nothing was promoted, or nothing rolled back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A safety rule forbids it; nothing was written.
    #[error("refused, nothing was written: {}", Reasons(.0))]
    Refused(Vec<String>),
    /// A registry could not be asked; nothing was written.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// Broken off before the first write.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// A write failed.
    #[error("{item}: {cause}; {undone}")]
    Broken {
        /// The tag that could not be written.
        item: String,
        /// Why.
        cause: String,
        /// What became of the tags written before.
        undone: String,
    },
    /// What an earlier run left half done could not be put back.
    #[error(
        "{file} records a promotion that was not finished, and this could not be put back: {cause}; \
         run `rollback` with it, or repeat that promotion"
    )]
    Unsettled {
        /// The record.
        file: String,
        /// Which tags, and why.
        cause: String,
    },
    /// The record cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
}

struct Reasons<'a>(&'a [String]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [only] => f.write_str(only),
            many => many.iter().try_for_each(|reason| write!(f, "\n  {reason}")),
        }
    }
}
