//! Who answers a read: the first layer that has the name.
//!
//! *local* holds what was pushed here and always wins; below it may lie what *speculative* pointers
//! name, a *cache*, and the *upstream* registries it is filled from. This room decides which of them
//! answers, brings content from one to the other, and never lets a pull change what was pushed. Who
//! may read is `registry`'s, how bytes are kept is `storage`'s, how registries are spoken to is
//! `client`'s. All names are canonical.

mod error;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

pub use self::error::Error;
use crate::oci::{Digest, Manifest, Reference, RepositoryName, Tag};
use crate::storage::{self, Blob, Page, Paging, Part, Storage, StoredManifest};
use crate::zuul::Origin;

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// What was pushed here.
    Local,
    /// What a pointer names.
    Speculative,
    /// What was fetched before.
    Cache,
    /// Fetched for this answer.
    Upstream,
}

/// Something that was asked for, and who has it.
#[derive(Debug, Clone, Copy)]
pub struct Found<T> {
    /// Who.
    pub layer: Layer,
    /// What.
    pub value: T,
}

/// A manifest, and when its tag was pushed where that is known.
#[derive(Debug, Clone)]
pub struct FoundManifest {
    /// Digest, type and bytes.
    pub manifest: StoredManifest,
    /// When its tag was last pushed here; nothing for what was asked by digest.
    pub modified: Option<SystemTime>,
    /// Which build its tag is from, where that is known; nothing for what was asked by digest.
    pub origin: Option<Origin>,
}

/// Who reads, as far as the layers need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Anybody.
    Anybody,
    /// Somebody who may read the repository by a login of this registry.
    Known,
}

/// The layers, uppermost first.
pub struct Layers {
    local: Arc<dyn Storage>,
}

impl Layers {
    /// Nothing below what was pushed.
    #[must_use]
    pub fn only(local: Arc<dyn Storage>) -> Self {
        Self { local }
    }

    /// The stores that answer, uppermost first. To look into them fetches nothing.
    #[must_use]
    pub fn stores(&self) -> Vec<(Layer, Arc<dyn Storage>)> {
        vec![(Layer::Local, Arc::clone(&self.local))]
    }

    /// The size of a blob in bytes.
    ///
    /// # Errors
    /// No layer has it, or the reader may not have what the one that does has.
    pub async fn blob_size(
        &self,
        _reader: Reader,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Found<u64>, Error> {
        Ok(local(self.local.blob_size(repository, digest).await?))
    }

    /// Opens a blob, or a part of it.
    ///
    /// # Errors
    /// As [`Layers::blob_size`]; a part that is outside.
    pub async fn blob_open(
        &self,
        _reader: Reader,
        repository: &RepositoryName,
        digest: &Digest,
        part: Part,
    ) -> Result<Found<Blob>, Error> {
        Ok(local(self.local.blob_open(repository, digest, part).await?))
    }

    /// A manifest by tag or digest.
    ///
    /// # Errors
    /// As [`Layers::blob_size`].
    pub async fn manifest(
        &self,
        _reader: Reader,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Found<FoundManifest>, Error> {
        let (digest, modified, origin) = match reference {
            Reference::Digest(digest) => (digest.clone(), None, None),
            Reference::Tag(tag) => {
                let state = self.local.tag_get(repository, tag).await?;
                (state.digest, Some(state.modified), state.origin)
            }
        };
        let manifest = self.local.manifest_get(repository, &digest).await?;
        self.local.manifest_used(repository, &digest);
        Ok(local(FoundManifest { manifest, modified, origin }))
    }

    /// The tags all layers have, in byte order.
    ///
    /// # Errors
    /// No layer knows the repository.
    pub async fn tags(
        &self,
        _reader: Reader,
        repository: &RepositoryName,
        paging: Paging,
    ) -> Result<Page<Tag>, Error> {
        Ok(self.local.tags(repository, paging).await?)
    }

    /// The descriptors (JSON) of the manifests that any layer has attached to `subject`, local ones
    /// first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn referrers(
        &self,
        _reader: Reader,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Bytes>, Error> {
        Ok(self.local.referrers(repository, subject).await?)
    }

    /// Makes a blob that any layer has in `from` readable through `to` in the local one; says whether
    /// there was one.
    ///
    /// # Errors
    /// The store fails.
    pub async fn mount(
        &self,
        _reader: Reader,
        from: &RepositoryName,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, Error> {
        match self.local.blob_link(from, to, digest).await {
            Ok(()) => Ok(true),
            Err(storage::Error::BlobUnknown { .. } | storage::Error::Damaged(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Brings what a manifest needs and only a lower layer has into the local one, before the
    /// manifest is put there: a client that was told that something exists does not push it.
    ///
    /// # Errors
    /// A lower layer has it and it cannot be had.
    pub async fn bring_down(
        &self,
        _repository: &RepositoryName,
        _manifest: &Manifest,
    ) -> Result<(), Error> {
        Ok(())
    }
}

fn local<T>(value: T) -> Found<T> {
    Found { layer: Layer::Local, value }
}

impl Layer {
    /// One word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Speculative => "speculative",
            Self::Cache => "cache",
            Self::Upstream => "upstream",
        }
    }
}
