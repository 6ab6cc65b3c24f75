use std::io;

use crate::oci;

/// Why an image cannot be taken from a layout or archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {place}: {source}")]
    Unreadable {
        /// Which file.
        place: String,
        /// The cause.
        source: io::Error,
    },
    /// What is there is not what the transport says.
    #[error("{place}: {reason}")]
    Foreign {
        /// Where.
        place: String,
        /// What it is, and what to do.
        reason: String,
    },
    /// Not one image was chosen.
    #[error("{place}: {reason}")]
    Choice {
        /// Where.
        place: String,
        /// What can be chosen.
        reason: String,
    },
    /// Content that is not there, or not what its digest or length says.
    #[error("{place}: wrong content: {reason}")]
    Damaged {
        /// Which image.
        place: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A manifest that cannot be carried.
    #[error("{place}: {source}")]
    Manifest {
        /// Which manifest.
        place: String,
        /// What is wrong with it.
        source: oci::Error,
    },
}

impl Error {
    /// One word for the meaning, for machines.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "io",
            Self::Foreign { .. } | Self::Choice { .. } => "input",
            Self::Damaged { .. } => "damaged",
            Self::Manifest { .. } => "manifest",
        }
    }

    /// Whether something else was named than is there.
    #[must_use]
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::Foreign { .. } | Self::Choice { .. })
    }
}
