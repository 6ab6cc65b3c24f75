//! Where images are kept, in the words of the distribution-spec: blobs, manifests, tags, uploads.
//!
//! [`Storage`] is what a driver does; [`Filesystem`] is the one on a local disk. A driver keeps
//! bytes and says what it has: who may ask, and what an answer looks like on the wire, is the
//! registry's. A blob is read only through a repository that links it. A driver shows nothing
//! before it is whole, and forgets nothing it has acknowledged (to the degree of [`Durability`]).
//! `suite` holds the tests every driver has to pass.

mod error;
mod filesystem;
mod prune;
mod reach;
#[cfg(test)]
mod suite;
mod upload;
mod verify;

use std::any::Any;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

pub use self::error::Error;
pub use self::filesystem::Filesystem;
pub use self::prune::{PruneTotals, Pruned, PrunedBlob, PrunedManifest, Pruning};
pub use self::reach::{Belongs, Reach};
pub use self::upload::{UploadBytes, UploadId, UploadState};
pub use self::verify::{Damage, DamageKind, Verified, VerifyTotals, Verifying};
use crate::oci::{Digest, RepositoryName, Tag};
use crate::zuul::Origin;

/// Bytes as they come or go. An error is the end.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The death of the process, not a loss of power.
    #[default]
    Process,
    /// A loss of power too: data and directories are synced before the answer.
    Commit,
}

/// Which bytes of a blob; positions count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All.
    Whole,
    /// From this position to the end.
    From(u64),
    /// From the first to the last position, both included; a last one behind the end is the end.
    Between(u64, u64),
    /// This many bytes at the end, or all if there are fewer.
    Last(u64),
}

/// An open blob, or a part of one.
pub struct Blob {
    /// Size of the whole blob in bytes.
    pub size: u64,
    /// The part that `bytes` gives.
    pub range: Range<u64>,
    /// The bytes of `range`.
    pub bytes: ByteStream,
    /// The file that holds the blob, where one does and reading from it is worth while: `range` of it
    /// are the same bytes.
    pub file: Option<Arc<File>>,
}

/// A manifest with its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    /// The digest it is stored under.
    pub digest: Digest,
    /// The media type it was pushed with.
    pub media_type: String,
    /// The bytes as pushed.
    pub bytes: Bytes,
}

/// A manifest to store, and what the store has to know about it.
#[derive(Debug, Clone)]
pub struct NewManifest {
    /// Its digest, type and bytes.
    pub manifest: StoredManifest,
    /// Blobs that must be linked in the repository already, with their sizes in bytes.
    pub blobs: Vec<(Digest, u64)>,
    /// The manifest it is attached to, and the descriptor (JSON) to list there.
    pub referrer: Option<(Digest, Bytes)>,
    /// Tags to set once everything else is in place.
    pub tags: Vec<Tag>,
    /// Which build sets them, where it says so; kept with each tag until the tag is set again.
    pub origin: Option<Origin>,
    /// Whether nothing is stored if one of the tags was set by nobody who named a build.
    pub keep_pushed: bool,
}

/// What a tag points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagState {
    /// The manifest.
    pub digest: Digest,
    /// When the tag was last written.
    pub modified: SystemTime,
    /// Which build wrote it, where it said so.
    pub origin: Option<Origin>,
}

/// A part of a sorted list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// Where a list starts and how long it may get.
#[derive(Debug, Clone, Default)]
pub struct Paging {
    /// Only entries behind this text, which need not be an entry.
    pub after: Option<String>,
    /// At most so many entries.
    pub limit: Option<usize>,
}

/// A store of images. All names are canonical.
#[async_trait]
pub trait Storage: Send + Sync {
    /// The size of a blob in bytes. Renews its lease.
    async fn blob_size(&self, repository: &RepositoryName, digest: &Digest) -> Result<u64, Error>;

    /// Opens a blob, or a part of it.
    async fn blob_open(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        part: Part,
    ) -> Result<Blob, Error>;

    /// Makes a blob of `from` readable through `to` (a mount).
    async fn blob_link(
        &self,
        from: &RepositoryName,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error>;

    /// Takes a blob that another store has, by a link where that can be, and makes it readable through
    /// `repository`. Returns the size in bytes.
    async fn blob_adopt(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        store: &dyn Storage,
        from: &RepositoryName,
    ) -> Result<u64, Error> {
        copy_blob(self, repository, digest, store, from).await
    }

    /// The repositories through which a blob is readable.
    async fn blob_repositories(&self, digest: &Digest) -> Result<Vec<RepositoryName>, Error>;

    /// Makes a blob unreadable through a repository.
    async fn blob_unlink(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), Error>;

    /// Stores a manifest whose blobs are there, lists it with its subject, then sets its tags.
    async fn manifest_put(
        &self,
        repository: &RepositoryName,
        manifest: NewManifest,
    ) -> Result<(), Error>;

    /// A manifest by digest.
    async fn manifest_get(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<StoredManifest, Error>;

    /// Removes a manifest, the tags on it and its entry in its subject's referrers.
    async fn manifest_delete(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error>;

    /// The descriptors (JSON) of the manifests attached to `subject`, by digest. An unknown
    /// subject has none.
    async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Bytes>, Error>;

    /// What a tag points at.
    async fn tag_get(&self, repository: &RepositoryName, tag: &Tag) -> Result<TagState, Error>;

    /// What a tag points at, and the manifest there: for a driver that can look for both at once. The
    /// manifest has a result of its own.
    async fn manifest_tagged(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<(TagState, Result<StoredManifest, Error>), Error> {
        let state = self.tag_get(repository, tag).await?;
        let manifest = self.manifest_get(repository, &state.digest).await;
        Ok((state, manifest))
    }

    /// Removes a tag and nothing else.
    async fn tag_delete(&self, repository: &RepositoryName, tag: &Tag) -> Result<(), Error>;

    /// The tags of a repository in byte order.
    async fn tags(&self, repository: &RepositoryName, paging: Paging) -> Result<Page<Tag>, Error>;

    /// The repositories that hold manifests, in byte order.
    async fn repositories(&self, paging: Paging) -> Result<Page<RepositoryName>, Error>;

    /// Starts an upload into a repository.
    async fn upload_create(&self, repository: &RepositoryName) -> Result<UploadId, Error>;

    /// How many bytes of an upload are there.
    async fn upload_offset(&self, repository: &RepositoryName, id: &UploadId)
    -> Result<u64, Error>;

    /// Opens an upload of which something has come, to read what is there while the rest is written. It
    /// can be read on when it has become a blob, and when that is gone again.
    async fn upload_open(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<Arc<dyn UploadBytes>, Error>;

    /// Appends to an upload; `start` is where the bytes belong, where the writer said so. When the
    /// stream breaks, what came before stays and the upload goes on from there. Returns how many bytes
    /// are there now.
    async fn upload_append(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
        start: Option<u64>,
        bytes: ByteStream,
    ) -> Result<u64, Error>;

    /// Ends an upload: it becomes a blob of the repository if it has this digest, and is gone if not.
    /// Returns the size in bytes.
    async fn upload_finish(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<u64, Error>;

    /// Drops an upload.
    async fn upload_cancel(&self, repository: &RepositoryName, id: &UploadId) -> Result<(), Error>;

    /// Drops the uploads nobody has touched for `idle`. One that is being written is not idle, however
    /// slowly its bytes come.
    async fn drop_idle_uploads(&self, idle: Duration) -> Result<(), Error>;

    /// Reads and writes a little, to find out whether the store can be used.
    async fn probe(&self) -> Result<(), Error>;

    /// Notes that somebody pulled a manifest, for `prune`. Never blocks and never fails; it is written
    /// down soon, and at most once an hour.
    fn manifest_used(&self, repository: &RepositoryName, digest: &Digest);

    /// Removes what nobody needs. Pushes and pulls may go on, in other processes too: a blob has a
    /// lease in each repository that links it, renewed by upload, mount, [`Storage::blob_size`] and
    /// [`Storage::manifest_put`], and every decision is made again at the moment of the removal.
    async fn prune(&self, pruning: Pruning) -> Result<Pruned, Error>;

    /// Removes blobs and manifests until at most so many bytes of them are left, first those nobody has asked
    /// for the longest, whether anything needs them or not: for caches. Blobs that are spared stay, and are not
    /// counted; a manifest takes its tags with it. Returns how many bytes are left.
    async fn evict(&self, at_most: u64, spared: HashSet<Digest>) -> Result<u64, Error>;

    /// Writes down the uploads that are under way, so that the next process can go on with them.
    async fn suspend(&self) -> Result<(), Error>;

    /// The driver itself, by which two of a kind know each other.
    fn as_any(&self) -> &dyn Any;
}

/// Copies a blob from one store to another, verified like every upload.
async fn copy_blob<S: Storage + ?Sized>(
    to: &S,
    repository: &RepositoryName,
    digest: &Digest,
    store: &dyn Storage,
    from: &RepositoryName,
) -> Result<u64, Error> {
    let blob = store.blob_open(from, digest, Part::Whole).await?;
    let id = to.upload_create(repository).await?;
    match to.upload_append(repository, &id, None, blob.bytes).await {
        Ok(_) => to.upload_finish(repository, &id, digest).await,
        Err(error) => {
            // What is left of it goes with the other idle uploads.
            let _ = to.upload_cancel(repository, &id).await;
            Err(error)
        }
    }
}

impl Part {
    /// The bytes meant in a blob of `size` bytes.
    ///
    /// # Errors
    /// There are none.
    pub fn resolve(self, size: u64) -> Result<Range<u64>, Error> {
        let range = match self {
            Self::Whole => return Ok(0..size),
            Self::From(first) => first..size,
            Self::Between(first, last) => first..last.saturating_add(1).min(size),
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        if range.is_empty() {
            return Err(Error::RangeOutside { size });
        }
        Ok(range)
    }
}

impl<T: AsRef<str>> Page<T> {
    /// Cuts the page out of all entries, which are sorted.
    pub(crate) fn cut(all: impl IntoIterator<Item = T>, paging: &Paging) -> Self {
        let after = paging.after.as_deref();
        let mut rest =
            all.into_iter().filter(|entry| after.is_none_or(|after| entry.as_ref() > after));
        let entries: Vec<T> = match paging.limit {
            Some(limit) => rest.by_ref().take(limit).collect(),
            None => rest.by_ref().collect(),
        };
        Self { entries, more: rest.next().is_some() }
    }
}
