use std::fmt;

use super::RecordError;
use crate::{client, copy, removal, webapi, zuul};

/// Why nothing was promoted, or nothing rolled back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A safety rule forbids it; no tag was written.
    #[error("refused, no tag was written: {}", Reasons(.0))]
    Refused(Vec<String>),
    /// The input names something that cannot be, or a login that may not be used.
    #[error(transparent)]
    Input(#[from] zuul::Error),
    /// A registry could not be asked; nothing was written.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// Zuul could not be asked.
    #[error(transparent)]
    Zuul(#[from] webapi::Error),
    /// Zuul has built nothing of the kind.
    #[error(
        "Zuul has no successful build for `{query}`; check --zuul-query, and that the job it names has ended \
         for this change"
    )]
    NoBuild {
        /// What it was asked for.
        query: String,
    },
    /// Credentials of a registry's web API that do not fit together.
    #[error(transparent)]
    Removal(#[from] removal::Error),
    /// An image could not be brought to the repository of its final tag; no tag was written.
    #[error(transparent)]
    Copy(#[from] copy::Error),
    /// Broken off before the first write of a tag.
    #[error("interrupted; no tag was written")]
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
