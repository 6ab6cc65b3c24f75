use std::collections::HashSet;

use futures_util::{StreamExt, stream};

use super::blobs::is_damaged;
use super::error::is_absent;
use super::source::Source;
use super::{Error, Layers, Reader, Sources};
use crate::oci::{Digest, Manifest, RepositoryName};
use crate::storage::{self, NewManifest, StoredManifest};

/// How many blobs of a manifest are brought at the same time.
const AT_ONCE: usize = 4;

/// How deep indexes in indexes are followed, and how many manifests one push brings.
const DEEPEST: usize = 4;
const MOST: usize = 1000;

impl Layers {
    /// Makes a blob that any layer has in `from` readable through `to` in the local one; says whether
    /// there was one.
    ///
    /// # Errors
    /// The store fails.
    pub async fn mount(
        &self,
        reader: Reader,
        from: &RepositoryName,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, Error> {
        match self.local.blob_link(from, to, digest).await {
            Ok(()) => return Ok(true),
            Err(storage::Error::BlobUnknown { .. } | storage::Error::Damaged(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let sources = self.sources(reader, from).await;
        self.bring_blob(&sources, from, to, digest).await
    }

    /// Brings what a manifest needs and only a lower layer has into the local one, before the
    /// manifest is put there: a client that was told that something exists does not push it. What
    /// cannot be had is missing, and the store says so where that matters.
    ///
    /// # Errors
    /// A lower layer has a child and not all of its blobs can be had, or the store fails.
    pub async fn bring_down(
        &self,
        repository: &RepositoryName,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let mut sources = self.sources(Reader::Known, repository).await;
        // A push does not wait for who does not answer.
        sources.list = sources.list.into_iter().map(Source::impatient).collect();
        if sources.list.is_empty() {
            return Ok(());
        }
        self.bring_blobs(&sources, repository, manifest).await?;
        let mut seen = HashSet::new();
        for child in manifest.children() {
            self.bring_child(&sources, repository, &child.digest, 1, &mut seen).await?;
        }
        Ok(())
    }

    /// A child and what is below it, children before their parents, each once however often it is named. An
    /// index may name what is nowhere.
    async fn bring_child(
        &self,
        sources: &Sources,
        repository: &RepositoryName,
        digest: &Digest,
        depth: usize,
        seen: &mut HashSet<Digest>,
    ) -> Result<(), Error> {
        if seen.contains(digest) {
            return Ok(());
        }
        if depth > DEEPEST || seen.len() >= MOST {
            tracing::debug!(%digest, "a child stays away: the index pushed has too much below it");
            return Ok(());
        }
        seen.insert(digest.clone());
        if self.local.manifest_get(repository, digest).await.is_ok() {
            return Ok(());
        }
        let stored = match self.manifest_from(sources, repository, digest).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::debug!(%digest, %error, "a child stays away");
                return Ok(());
            }
        };
        let parsed = Manifest::parse(stored.bytes.clone(), Some(&stored.media_type));
        let Ok(parsed) = parsed else { return Ok(()) };
        self.bring_blobs(sources, repository, &parsed).await?;
        for child in parsed.children() {
            Box::pin(self.bring_child(sources, repository, &child.digest, depth + 1, seen)).await?;
        }
        let new = NewManifest {
            blobs: parsed.blobs().map(|blob| (blob.digest.clone(), blob.size)).collect(),
            referrer: parsed.referrer(&stored.digest),
            manifest: stored,
            tags: Vec::new(),
            origin: None,
            keep_pushed: false,
        };
        self.local.manifest_put(repository, new).await.map_err(Error::from)
    }

    async fn manifest_from(
        &self,
        sources: &Sources,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<StoredManifest, Error> {
        for source in &sources.list {
            if let Ok(stored) = source.shelf.store.manifest_get(repository, digest).await {
                return Ok(stored);
            }
        }
        let mut told: Error = storage::Error::RepositoryUnknown(repository.clone()).into();
        for source in self.likely(sources, repository, digest).await {
            let fetched = match source.may_ask(true).map(drop) {
                Ok(()) => self.kept_or_fetched(source, repository, digest).await,
                Err(error) => Err(error),
            };
            match fetched {
                Ok(stored) => return Ok(stored),
                Err(error) => told = told.or(error),
            }
        }
        Err(told)
    }

    async fn bring_blobs(
        &self,
        sources: &Sources,
        repository: &RepositoryName,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let wanted: Vec<Digest> = manifest.blobs().map(|blob| blob.digest.clone()).collect();
        stream::iter(wanted)
            .map(|digest| self.bring_missing(sources, repository, digest))
            .buffer_unordered(AT_ONCE)
            .fold(Ok(()), |all, one| async { all.and(one) })
            .await
    }

    async fn bring_missing(
        &self,
        sources: &Sources,
        repository: &RepositoryName,
        digest: Digest,
    ) -> Result<(), Error> {
        match self.local.blob_size(repository, &digest).await {
            Ok(_) => Ok(()),
            Err(error) if is_absent(&error) || is_damaged(&error) => {
                self.bring_blob(sources, repository, repository, &digest).await.map(drop)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Says whether it could be had.
    async fn bring_blob(
        &self,
        sources: &Sources,
        from: &RepositoryName,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, Error> {
        for source in self.likely(sources, from, digest).await {
            if self.adopt(source, from, to, digest).await? {
                return Ok(true);
            }
            if source.may_ask(true).is_err() {
                continue;
            }
            let _keeper = match self.fills.follow(source, from, digest).kept().await {
                Ok(keeper) => keeper,
                Err(error @ Error::Storage(_)) => return Err(error),
                Err(error) => {
                    tracing::debug!(%digest, %error, "a blob could not be brought from below");
                    continue;
                }
            };
            if self.adopt(source, from, to, digest).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes over what is on the shelf of a source; says whether it was there, and whole.
    async fn adopt(
        &self,
        source: &Source,
        from: &RepositoryName,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, Error> {
        match self.local.blob_adopt(to, digest, &*source.shelf.store, from).await {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) || is_damaged(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
