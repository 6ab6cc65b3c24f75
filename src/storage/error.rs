use std::io;

use super::UploadId;
use crate::oci::{Digest, RepositoryName, Tag};

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository holds nothing.
    #[error("repository {0} is not known")]
    RepositoryUnknown(RepositoryName),
    /// The repository does not link such a blob.
    #[error("blob {digest} is not in repository {repository}")]
    BlobUnknown {
        /// Where it was looked for.
        repository: RepositoryName,
        /// What was looked for.
        digest: Digest,
    },
    /// A manifest needs blobs the repository does not have.
    #[error("the manifest needs blobs that repository {repository} does not have")]
    BlobsMissing {
        /// Where they were looked for.
        repository: RepositoryName,
        /// All that are missing.
        digests: Vec<Digest>,
    },
    /// A manifest says another size of a blob than it has.
    #[error("the manifest says {announced} bytes of blob {digest}, which has {size}")]
    BlobSize {
        /// Which.
        digest: Digest,
        /// What the manifest says.
        announced: u64,
        /// Size of the blob in bytes.
        size: u64,
    },
    /// No such manifest or tag.
    #[error("manifest {reference} is not in repository {repository}")]
    ManifestUnknown {
        /// Where it was looked for.
        repository: RepositoryName,
        /// The tag or digest.
        reference: String,
    },
    /// The tag stays as it was pushed, as it was to be in this case.
    #[error("tag {tag} of repository {repository} was pushed here and stays")]
    TagKept {
        /// Where.
        repository: RepositoryName,
        /// Which.
        tag: Tag,
        /// What it points at.
        digest: Digest,
    },
    /// No such upload in this repository.
    #[error("upload {id} is not under way in repository {repository}")]
    UploadUnknown {
        /// Where it was looked for.
        repository: RepositoryName,
        /// Which.
        id: String,
    },
    /// Another writer is at this upload.
    #[error("another request is writing to upload {0}")]
    UploadBusy(UploadId),
    /// The bytes do not follow those already there.
    #[error("the upload is at byte {offset}, the chunk starts at byte {start}")]
    UploadOffset {
        /// How many bytes are there.
        offset: u64,
        /// Where the chunk says it starts.
        start: u64,
    },
    /// The content is not what its digest says.
    #[error("the content has digest {actual}, not {expected}")]
    DigestMismatch {
        /// What was announced.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The part asked for is outside the blob.
    #[error("the range is outside the {size} bytes of the blob")]
    RangeOutside {
        /// Size of the blob in bytes.
        size: u64,
    },
    /// The bytes to store stopped coming.
    #[error("the upload broke off: {0}")]
    BrokenOff(#[source] io::Error),
    /// The store's own files are not as they should be.
    #[error("damaged store: {0}")]
    Damaged(String),
    /// Another process serves this store.
    #[error("{0} is in use by another process")]
    InUse(String),
    /// There is nothing to look at.
    #[error("{0} holds no images yet: no registry has been served from there")]
    NoStore(String),
    /// Another program, most likely a newer one, wrote this store.
    #[error("{folder} has store format {found}; this program knows format {known}")]
    UnknownFormat {
        /// Where.
        folder: String,
        /// What the store says.
        found: String,
        /// The newest this program knows.
        known: u32,
    },
    /// The store has to be brought into today's layout first.
    #[error(
        "{0} is a store of an older format, and nobody has served it with this program yet; `serve` brings it up to date"
    )]
    OldFormat(String),
    /// The disk or the system refused.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done, on what.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// Whether more came than is allowed.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::BrokenOff(error) if error.kind() == io::ErrorKind::FileTooLarge)
    }

    /// Whether the cause is that there is no room left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ))
    }
}
