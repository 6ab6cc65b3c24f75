use super::error::{Verdict, is_absent};
use super::manifests::does_not_have_it;
use super::source::Source;
use super::{Error, Found, Layer, Layers, Reader};
use crate::oci::{Digest, RepositoryName};
use crate::storage::{self, Blob, Part};

impl Layers {
    /// Opens a blob, or a part of it. What has to be fetched is passed on while it comes.
    ///
    /// # Errors
    /// No layer has it, or the reader may not have what the one that does has; a part that is outside.
    pub async fn blob_open(
        &self,
        reader: Reader,
        repository: &RepositoryName,
        digest: &Digest,
        part: Part,
    ) -> Result<Found<Blob>, Error> {
        let mut told = match self.local.blob_open(repository, digest, part).await {
            Ok(value) => return Ok(Found { layer: Layer::Local, value }),
            // What is broken here may be had from below.
            Err(error) if is_absent(&error) || is_damaged(&error) => Error::from(error),
            Err(error) => return Err(error.into()),
        };
        let sources = self.sources(reader, repository).await;
        for source in &sources.list {
            match source.shelf.store.blob_open(repository, digest, part).await {
                Ok(value) => return Ok(Found { layer: source.kept, value }),
                // What is broken is fetched again.
                Err(error) if is_absent(&error) || is_damaged(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        for source in self.likely(&sources, repository, digest).await {
            match self.fetched(source, repository, digest, part).await {
                Ok(value) => return Ok(Found { layer: source.layer, value }),
                Err(error @ Error::Storage(_)) => return Err(error),
                Err(error) => told = told.or(error),
            }
        }
        Err(sources.nobody(told))
    }

    /// The size of a blob in bytes. Who asks for it wants to know whether to push, or to pull from
    /// elsewhere; so a registry below that does not answer does not have it, and what is too large to be
    /// fetched is not there.
    ///
    /// # Errors
    /// As [`Layers::blob_open`].
    pub async fn blob_size(
        &self,
        reader: Reader,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Found<u64>, Error> {
        let mut told = match self.local.blob_size(repository, digest).await {
            Ok(value) => return Ok(Found { layer: Layer::Local, value }),
            Err(error) if is_absent(&error) => Error::from(error),
            Err(error) if is_damaged(&error) => {
                tracing::error!(%digest, %repository, %error, "damaged, so that it is to be pushed again");
                let (repository, digest) = (repository.clone(), digest.clone());
                storage::Error::BlobUnknown { repository, digest }.into()
            }
            Err(error) => return Err(error.into()),
        };
        let sources = self.sources(reader, repository).await;
        for source in &sources.list {
            if let Ok(value) = source.shelf.store.blob_size(repository, digest).await {
                return Ok(Found { layer: source.kept, value });
            }
        }
        for source in self.likely(&sources, repository, digest).await {
            match self.size_at(source, repository, digest).await {
                Ok(value) => return Ok(Found { layer: source.layer, value }),
                Err(error) => told = told.or(error),
            }
        }
        if !told.is_absence() {
            tracing::warn!(%digest, %repository, error = %told, "taken as absent");
            let reason = told.to_string();
            let (repository, digest) = (repository.clone(), digest.clone());
            told = Error::BlobAbsent { repository, digest, reason };
        }
        Err(sources.nobody(told))
    }

    /// What a source has, as it comes.
    async fn fetched(
        &self,
        source: &Source,
        repository: &RepositoryName,
        digest: &Digest,
        part: Part,
    ) -> Result<Blob, Error> {
        let follow = || self.fills.follow(source, repository, digest).open(part);
        match follow().await {
            // It was there already, and had to make room before it was opened.
            Err(Error::Storage(error)) if is_absent(&error) => follow().await,
            opened => opened,
        }
    }

    /// The size of a blob that would be fetched from there.
    async fn size_at(
        &self,
        source: &Source,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, Error> {
        if let Some(size) = self.fills.size(source, repository, digest) {
            return Ok(size);
        }
        let asking = source.may_ask(true)?.impatient();
        let limit = self.fills.limits().largest();
        let answer = asking.repository.blob_size(digest).await;
        let reason = match asking.heard(answer) {
            Ok(Some(size)) if size <= limit => return Ok(size),
            Ok(Some(_)) => return Err(Error::TooLarge { what: format!("blob {digest}"), limit }),
            Ok(None) => does_not_have_it(source),
            Err(error) => match Verdict::of(&source.place, &error) {
                Verdict::Absent(reason) => reason,
                Verdict::Unreachable(error) | Verdict::Broken(error) => return Err(error),
            },
        };
        let (repository, digest) = (repository.clone(), digest.clone());
        Err(Error::BlobAbsent { repository, digest, reason })
    }
}

pub(super) fn is_damaged(error: &storage::Error) -> bool {
    matches!(error, storage::Error::Damaged(_))
}
