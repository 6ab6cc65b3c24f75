//! The client's side of the distribution-spec.

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream};

use crate::auth::CredentialStore;
use crate::http::{Http, Statistics};
use crate::oci::{
    Descriptor, Digest, ImageReference, Manifest, Reference, Registry, RepositoryName, Tag,
};

/// Speaks to registries; clones share everything.
#[derive(Debug, Clone)]
pub struct Client {}

/// One repository of one registry.
#[derive(Debug, Clone)]
pub struct Repository {}

/// The bytes of a blob, checked against its descriptor.
pub type BlobStream = BoxStream<'static, Result<Bytes, Error>>;

/// What HEAD says about a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its media type.
    pub media_type: Option<String>,
}

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The registry had it in another repository.
    Mounted,
    /// So many bytes were sent.
    Moved(u64),
}

/// What became of a request to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// It was not there.
    Absent,
    /// The registry does not delete.
    Unsupported,
}

/// What went wrong with a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The network or the registry refused.
    #[error("{doing}: {source}")]
    Http {
        /// What was being done, on what.
        doing: String,
        /// What happened.
        source: crate::http::Error,
    },
}

impl Client {
    /// A client over `http` with these credentials.
    #[must_use]
    pub fn new(http: Http, credentials: CredentialStore) -> Self {
        let _ = (http, credentials);
        todo!()
    }

    /// A repository of a registry.
    #[must_use]
    pub fn repository(&self, registry: &Registry, name: &RepositoryName) -> Repository {
        let _ = (registry, name);
        todo!()
    }

    /// The repository of an image.
    #[must_use]
    pub fn image(&self, image: &ImageReference) -> Repository {
        self.repository(&image.registry, &image.repository)
    }

    /// What was sent and received so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        todo!()
    }
}

#[allow(clippy::unused_async)]
impl Repository {
    /// What a tag or digest stands for; `None` only when the registry says 404.
    ///
    /// # Errors
    /// Any other answer.
    pub async fn head(&self, reference: &Reference) -> Result<Option<ManifestHead>, Error> {
        let _ = reference;
        todo!()
    }

    /// A manifest, checked against the digest asked for; `None` only on 404.
    ///
    /// # Errors
    /// Any other answer.
    pub async fn manifest(&self, reference: &Reference) -> Result<Option<Manifest>, Error> {
        let _ = reference;
        todo!()
    }

    /// Writes a manifest.
    ///
    /// # Errors
    /// Any answer but success.
    pub async fn put_manifest(
        &self,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let _ = (reference, manifest);
        todo!()
    }

    /// The size of a blob, `None` only on 404.
    ///
    /// # Errors
    /// Any other answer.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let _ = digest;
        todo!()
    }

    /// The bytes of a blob.
    #[must_use]
    pub fn blob(&self, blob: &Descriptor) -> BlobStream {
        let _ = blob;
        todo!()
    }

    /// Puts a blob into the repository.
    ///
    /// # Errors
    /// Any answer but success, and errors of the source.
    pub async fn push_blob<S, E>(
        &self,
        blob: &Descriptor,
        source: impl FnMut() -> S + Send,
        mount_from: Option<&RepositoryName>,
    ) -> Result<Pushed, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let _ = (blob, source, mount_from);
        todo!()
    }

    /// All tags.
    ///
    /// # Errors
    /// Any answer but success.
    pub async fn tags(&self) -> Result<Vec<Tag>, Error> {
        todo!()
    }

    /// Deletes a tag, or a manifest with all its tags.
    ///
    /// # Errors
    /// Answers that are neither success nor absence nor refusal on principle.
    pub async fn delete(&self, reference: &Reference) -> Result<Deleted, Error> {
        let _ = reference;
        todo!()
    }
}
