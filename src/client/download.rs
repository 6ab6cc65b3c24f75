use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::Method;

use super::access::{Effort, Purpose};
use super::manifests::content_length;
use super::resume::Download;
use super::{Error, Repository};
use crate::http::Response;
use crate::oci::{Descriptor, Digest};

/// The bytes of a blob. The last of them come only when length and digest are right: who passes
/// them on with a `Content-Length` has not completed anything when the stream fails.
pub type BlobStream = BoxStream<'static, Result<Bytes, Error>>;

/// A blob as a registry sends it, for who checks the digest himself.
pub struct OpenBlob {
    /// How many bytes the registry announces, and exactly so many come.
    pub size: u64,
    /// The bytes; their digest has not been looked at.
    pub bytes: BlobStream,
}

impl Repository {
    /// The size of a blob; `None` only when the registry says 404.
    ///
    /// # Errors
    /// Any other answer, and one that does not tell the size.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let doing = self.looking_for(digest);
        let purpose = self.purpose(&doing, self.scopes());
        let Some(response) = self.blob_head(purpose, digest, self.effort()).await? else {
            return Ok(None);
        };
        let size = content_length(&response);
        size.map(Some).ok_or_else(|| purpose.protocol("its answer to HEAD has no Content-Length"))
    }

    /// Whether the registry says that it has a blob. One of another size is not this blob.
    ///
    /// # Errors
    /// Any answer but success and 404.
    pub async fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error> {
        self.has_blob_with(blob, self.effort()).await
    }

    pub(super) async fn has_blob_with(
        &self,
        blob: &Descriptor,
        effort: Effort,
    ) -> Result<bool, Error> {
        let doing = self.looking_for(&blob.digest);
        let purpose = self.purpose(&doing, self.scopes());
        let found = self.blob_head(purpose, &blob.digest, effort).await?;
        Ok(found.is_some_and(|it| content_length(&it).is_none_or(|size| size == blob.size)))
    }

    fn looking_for(&self, digest: &Digest) -> String {
        format!("looking for the blob {digest} in {}/{}", self.registry(), self.name())
    }

    async fn blob_head(
        &self,
        purpose: Purpose<'_>,
        digest: &Digest,
        effort: Effort,
    ) -> Result<Option<Response>, Error> {
        let request = self.request(purpose, Method::HEAD, &format!("blobs/{digest}"))?;
        self.look(purpose, request, effort).await
    }

    /// The bytes of a blob, checked on the way. Nothing is asked before the first poll. A
    /// connection that breaks is taken up again where it broke.
    #[must_use]
    pub fn blob(&self, blob: &Descriptor) -> BlobStream {
        let doing = format!(
            "reading the blob {} ({} bytes) from {}/{}",
            blob.digest,
            blob.size,
            self.registry(),
            self.name()
        );
        Download::new(self, doing, blob.clone()).stream()
    }

    /// Asks for a blob of which only the digest is known; `None` only when the registry says 404. A
    /// connection that breaks is taken up again where it broke.
    ///
    /// # Errors
    /// Any other answer, and one that does not tell the size.
    pub async fn open_blob(&self, digest: &Digest) -> Result<Option<OpenBlob>, Error> {
        let doing = format!("reading the blob {digest} from {}/{}", self.registry(), self.name());
        let purpose = self.purpose(&doing, self.scopes());
        let request = self.request(purpose, Method::GET, &format!("blobs/{digest}"))?;
        let Some(response) = self.look(purpose, request, self.effort()).await? else {
            return Ok(None);
        };
        let size = match content_length(&response) {
            Some(size) => size,
            None => self
                .blob_size(digest)
                .await?
                .ok_or_else(|| purpose.protocol("its answer has no Content-Length"))?,
        };
        let media_type = "application/octet-stream".to_owned();
        let digest = digest.clone();
        let (platform, artifact_type) = (None, None);
        let annotations = BTreeMap::new();
        let blob = Descriptor { media_type, digest, size, platform, artifact_type, annotations };
        let mut download = Download::new(self, doing, blob).unchecked();
        download.connect(response);
        Ok(Some(OpenBlob { size, bytes: download.stream() }))
    }
}
