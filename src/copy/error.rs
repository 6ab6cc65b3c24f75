use std::error::Error as _;

use crate::client;
use crate::layout;
use crate::oci::Digest;

/// Why images were not carried. Unless a registry failed while the tags themselves were written,
/// nothing is tagged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source has no such image.
    #[error("copying {item}: the source does not have this image; check repository and tag")]
    NotFound {
        /// Which image, `FROM to TO`.
        item: String,
    },
    /// The source is not the image that was asked for.
    #[error("copying {item}: refused, as the source is {found}, not {expected}")]
    Refused {
        /// Which image.
        item: String,
        /// What was to be there.
        expected: Digest,
        /// What is there.
        found: Digest,
    },
    /// The destination is another image.
    #[error("copying {item}: refused, as the destination is {found}; a tag is not moved")]
    Moves {
        /// Which image.
        item: String,
        /// What is there.
        found: Digest,
    },
    /// The destination became another image since the run began.
    #[error(
        "copying {item}: somebody set it to {found} meanwhile; a tag is not moved, so that stays"
    )]
    Raced {
        /// Which image.
        item: String,
        /// What is there.
        found: Digest,
    },
    /// Two different images for one place.
    #[error("copying {item}: refused, as another image of this run ({other}) goes there too")]
    Conflict {
        /// Which image.
        item: String,
        /// The digest of the other one.
        other: Digest,
    },
    /// The platforms asked for cannot be had.
    #[error("copying {item}: {reason}")]
    Platform {
        /// Which image.
        item: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// Content this program does not carry.
    #[error("copying {item}: {reason}")]
    Unsupported {
        /// Which image.
        item: String,
        /// What it is.
        reason: String,
    },
    /// A registry failed.
    #[error("copying {item}: {source}")]
    Client {
        /// Which image.
        item: String,
        /// What happened.
        source: Box<client::Error>,
    },
    /// What lies in a layout or archive cannot be carried.
    #[error("copying {item}: {source}")]
    Layout {
        /// Which image.
        item: String,
        /// What happened.
        source: layout::Error,
    },
}

impl Error {
    pub(super) fn client(item: &str, source: client::Error) -> Self {
        Self::Client { item: item.to_owned(), source: Box::new(source) }
    }

    pub(super) fn layout(item: &str, source: layout::Error) -> Self {
        Self::Layout { item: item.to_owned(), source }
    }

    /// One word for the meaning, for machines.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::Refused { .. } | Self::Moves { .. } => "refused",
            Self::Raced { .. } => "raced",
            Self::Conflict { .. } => "conflict",
            Self::Platform { .. } => "platform",
            Self::Unsupported { .. } => "unsupported",
            Self::Client { source, .. } => {
                // What the client was to send may have been a layout's.
                let mut cause = source.source();
                while let Some(error) = cause {
                    if let Some(layout) = error.downcast_ref::<layout::Error>() {
                        return layout.kind();
                    }
                    cause = error.source();
                }
                source.kind()
            }
            Self::Layout { source, .. } => source.kind(),
        }
    }

    /// Whether a safety rule said no, rather than something having failed.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::Moves { .. }
                | Self::Conflict { .. }
                | Self::Platform { .. }
        )
    }

    /// The image, `FROM to TO`.
    #[must_use]
    pub fn item(&self) -> &str {
        match self {
            Self::NotFound { item }
            | Self::Refused { item, .. }
            | Self::Moves { item, .. }
            | Self::Raced { item, .. }
            | Self::Conflict { item, .. }
            | Self::Platform { item, .. }
            | Self::Unsupported { item, .. }
            | Self::Client { item, .. }
            | Self::Layout { item, .. } => item,
        }
    }
}
