use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{Filesystem, Inner};
use crate::oci::{Digest, RepositoryName, Tag};
use crate::storage::{
    Blob, ByteStream, Error, NewManifest, Page, Paging, Part, Pruned, Pruning, Storage,
    StoredManifest, TagState, UploadBytes, UploadId, copy_blob,
};

#[async_trait]
impl Storage for Filesystem {
    async fn blob_size(&self, repository: &RepositoryName, digest: &Digest) -> Result<u64, Error> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.blocking(move |inner| inner.blob_size(&repository, &digest)).await
    }

    async fn blob_open(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        part: Part,
    ) -> Result<Blob, Error> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.blocking(move |inner| inner.blob_open(&repository, &digest, part)).await
    }

    async fn blob_link(
        &self,
        from: &RepositoryName,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error> {
        let (from, to, digest) = (from.clone(), to.clone(), digest.clone());
        self.blocking(move |inner| inner.blob_link(&from, &to, &digest)).await
    }

    async fn blob_repositories(&self, digest: &Digest) -> Result<Vec<RepositoryName>, Error> {
        let digest = digest.clone();
        self.blocking(move |inner| inner.blob_repositories(&digest)).await
    }

    async fn blob_unlink(&self, repository: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.blocking(move |inner| inner.blob_unlink(&repository, &digest)).await
    }

    async fn blob_adopt(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        store: &dyn Storage,
        from: &RepositoryName,
    ) -> Result<u64, Error> {
        if let Some(store) = store.as_any().downcast_ref::<Self>() {
            let (name, wanted) = (from.clone(), digest.clone());
            let lent = store.blocking(move |inner| inner.lend(&name, &wanted)).await?;
            let (name, wanted) = (repository.clone(), digest.clone());
            let adopting = self.blocking(move |inner| inner.adopt(&name, &wanted, &lent));
            if let Some(size) = adopting.await? {
                return Ok(size);
            }
        }
        copy_blob(self, repository, digest, store, from).await
    }

    async fn manifest_put(
        &self,
        repository: &RepositoryName,
        manifest: NewManifest,
    ) -> Result<(), Error> {
        let repository = repository.clone();
        self.blocking(move |inner| inner.manifest_put(&repository, &manifest)).await
    }

    async fn manifest_get(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<StoredManifest, Error> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.blocking(move |inner| inner.manifest_get(&repository, &digest)).await
    }

    async fn manifest_delete(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.blocking(move |inner| inner.manifest_delete(&repository, &digest)).await
    }

    async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Bytes>, Error> {
        let (repository, subject) = (repository.clone(), subject.clone());
        self.blocking(move |inner| inner.referrers(&repository, &subject)).await
    }

    async fn tag_get(&self, repository: &RepositoryName, tag: &Tag) -> Result<TagState, Error> {
        let (repository, tag) = (repository.clone(), tag.clone());
        self.blocking(move |inner| inner.tag_get(&repository, &tag)).await
    }

    async fn manifest_tagged(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<(TagState, Result<StoredManifest, Error>), Error> {
        let (repository, tag) = (repository.clone(), tag.clone());
        self.blocking(move |inner| inner.manifest_tagged(&repository, &tag)).await
    }

    async fn tag_delete(&self, repository: &RepositoryName, tag: &Tag) -> Result<(), Error> {
        let (repository, tag) = (repository.clone(), tag.clone());
        self.blocking(move |inner| inner.tag_delete(&repository, &tag)).await
    }

    async fn tags(&self, repository: &RepositoryName, paging: Paging) -> Result<Page<Tag>, Error> {
        let repository = repository.clone();
        self.blocking(move |inner| inner.tags(&repository, &paging)).await
    }

    async fn repositories(&self, paging: Paging) -> Result<Page<RepositoryName>, Error> {
        self.blocking(move |inner| inner.repositories(&paging)).await
    }

    async fn upload_create(&self, repository: &RepositoryName) -> Result<UploadId, Error> {
        self.inner.upload_create(repository)
    }

    async fn upload_offset(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<u64, Error> {
        self.inner.upload_offset(repository, id)
    }

    async fn upload_open(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<Arc<dyn UploadBytes>, Error> {
        let (repository, id) = (repository.clone(), id.clone());
        let opened = self.blocking(move |inner| inner.upload_open(&repository, &id)).await?;
        Ok(Arc::new(opened))
    }

    async fn upload_append(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
        start: Option<u64>,
        bytes: ByteStream,
    ) -> Result<u64, Error> {
        let writer = self.inner.writer(repository, id)?;
        let offset = writer.offset();
        match start {
            Some(start) if start != offset => Err(Error::UploadOffset { offset, start }),
            _ => match self.fill(writer, bytes).await {
                Ok(writer) => Ok(writer.offset()),
                // What came before a break stays; a disk that refuses needs its space back.
                Err(error @ Error::BrokenOff(_)) => Err(error),
                Err(error) => {
                    let id = id.clone();
                    let given_up = self.blocking(move |inner| inner.give_up(&id)).await;
                    given_up.and(Err(error))
                }
            },
        }
    }

    async fn upload_finish(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<u64, Error> {
        let writer = self.inner.writer(repository, id)?;
        let digest = digest.clone();
        self.blocking(move |inner| inner.upload_finish(writer, &digest)).await
    }

    async fn upload_cancel(&self, repository: &RepositoryName, id: &UploadId) -> Result<(), Error> {
        let writer = self.inner.writer(repository, id)?;
        self.blocking(move |inner| inner.drop_upload(writer.id())).await
    }

    async fn drop_idle_uploads(&self, idle: Duration) -> Result<(), Error> {
        self.blocking(move |inner| inner.drop_idle_uploads(idle)).await
    }

    async fn probe(&self) -> Result<(), Error> {
        self.blocking(Inner::probe).await
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn manifest_used(&self, repository: &RepositoryName, digest: &Digest) {
        if self.inner.manifest_used(repository, digest) {
            let inner = Arc::clone(&self.inner);
            // Nobody waits for it.
            drop(spawn_blocking(move || inner.write_down_used()));
        }
    }

    async fn prune(&self, pruning: Pruning) -> Result<Pruned, Error> {
        self.blocking(move |inner| inner.prune(&pruning)).await
    }

    async fn evict(&self, at_most: u64, spared: HashSet<Digest>) -> Result<u64, Error> {
        self.blocking(move |inner| inner.evict(at_most, &spared)).await
    }

    async fn suspend(&self) -> Result<(), Error> {
        self.inner.suspend_uploads().await
    }
}
