use std::fmt::Display;

use super::error::{Verdict, is_absent};
use super::source::{Shelf, Source};
use super::{Error, Found, FoundManifest, Layer, Layers, Reader};
use crate::oci::{Digest, Manifest, Reference, RepositoryName, Tag};
use crate::storage::{NewManifest, StoredManifest};

impl Layers {
    /// A manifest by tag or digest.
    ///
    /// # Errors
    /// No layer has it, or the reader may not have what the one that does has.
    pub async fn manifest(
        &self,
        reader: Reader,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Found<FoundManifest>, Error> {
        match reference {
            Reference::Digest(digest) => {
                let found = self.manifest_at(reader, repository, digest).await?;
                let value = FoundManifest { manifest: found.value, modified: None, origin: None };
                Ok(Found { layer: found.layer, value })
            }
            Reference::Tag(tag) => self.manifest_tagged(reader, repository, tag).await,
        }
    }

    async fn manifest_tagged(
        &self,
        reader: Reader,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Found<FoundManifest>, Error> {
        let unknown = match self.local.manifest_tagged(repository, tag).await {
            Ok((state, manifest)) => {
                let manifest = manifest?;
                self.local.manifest_used(repository, &state.digest);
                let modified = Some(state.modified);
                let value = FoundManifest { manifest, modified, origin: state.origin };
                return Ok(Found { layer: Layer::Local, value });
            }
            Err(error) if is_absent(&error) => error,
            Err(error) => return Err(error.into()),
        };
        let found = |layer, manifest, origin| {
            Ok(Found { layer, value: FoundManifest { manifest, modified: None, origin } })
        };
        if let Some(speculative) = &self.speculative
            && let Some(lead) = speculative.pointers.at_tag(repository, tag).await
        {
            // Who has the name answers, also where it cannot deliver: what lies below is another image.
            let (digest, origin) = (lead.digest.clone(), lead.origin.clone());
            let source = speculative.source(lead);
            let manifest = match self.local.manifest_get(repository, &digest).await {
                Ok(manifest) => manifest,
                Err(_) => self.kept_or_fetched(&source, repository, &digest).await?,
            };
            return found(Layer::Speculative, manifest, origin);
        }
        let Some(lower) = &self.lower else { return Err(unknown.into()) };
        let Some((upstream, at)) = lower.upstreams.of(repository) else {
            return Err(unknown.into());
        };
        if !upstream.serves(reader) {
            return Err(Error::LoginNeeded { namespace: upstream.name.to_string() });
        }
        let source = lower.source(upstream, at);
        let (layer, manifest) = lower.tags.manifest(source, repository, tag, upstream.ttl).await?;
        found(layer, manifest, None)
    }

    /// A manifest by digest.
    async fn manifest_at(
        &self,
        reader: Reader,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Found<StoredManifest>, Error> {
        let mut told = match self.local.manifest_get(repository, digest).await {
            Ok(value) => {
                self.local.manifest_used(repository, digest);
                return Ok(Found { layer: Layer::Local, value });
            }
            Err(error) if is_absent(&error) => Error::from(error),
            Err(error) => return Err(error.into()),
        };
        let sources = self.sources(reader, repository).await;
        for source in &sources.list {
            if let Ok(value) = source.shelf.store.manifest_get(repository, digest).await {
                source.shelf.store.manifest_used(repository, digest);
                return Ok(Found { layer: source.kept, value });
            }
        }
        for source in self.likely(&sources, repository, digest).await {
            match self.kept_or_fetched(source, repository, digest).await {
                Ok(value) => return Ok(Found { layer: source.layer, value }),
                Err(error) => told = told.or(error),
            }
        }
        Err(sources.nobody(told))
    }

    pub(super) async fn kept_or_fetched(
        &self,
        source: &Source,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<StoredManifest, Error> {
        if let Ok(manifest) = source.shelf.store.manifest_get(repository, digest).await {
            return Ok(manifest);
        }
        let key = source.key(repository, digest);
        let (source, repository, digest) = (source.clone(), repository.clone(), digest.clone());
        let fetch = || async move {
            let fetched = fetch(&source, &repository, &digest, Vec::new()).await;
            fetched.inspect_err(|error| not_fetched(&repository, &digest, error))
        };
        self.fetching.join(key, fetch).await
    }
}

/// A manifest by digest, from the shelf or from the source, and then with these tags.
pub(super) async fn fetch(
    source: &Source,
    repository: &RepositoryName,
    digest: &Digest,
    tags: Vec<Tag>,
) -> Result<StoredManifest, Error> {
    if let Ok(stored) = source.shelf.store.manifest_get(repository, digest).await {
        let parsed = Manifest::parse(stored.bytes.clone(), Some(&stored.media_type));
        return match parsed {
            Ok(manifest) if !tags.is_empty() => {
                Ok(keep(source, repository, &manifest, digest, tags).await)
            }
            _ => Ok(stored),
        };
    }
    let asking = source.may_ask(false)?;
    let reference = Reference::Digest(digest.clone());
    let answer = asking.repository.manifest(&reference).await;
    let manifest = match asking.heard(answer) {
        Ok(Some(manifest)) => manifest,
        Ok(None) => return Err(absent(repository, &reference, does_not_have_it(source))),
        Err(error) => return Err(judged(source, repository, &reference, &error)),
    };
    source.fetched(manifest.bytes().len() as u64);
    Ok(keep(source, repository, &manifest, digest, tags).await)
}

/// Puts a manifest on the shelf. It is answered also when there is no room for it.
pub(super) async fn keep(
    source: &Source,
    repository: &RepositoryName,
    manifest: &Manifest,
    digest: &Digest,
    tags: Vec<Tag>,
) -> StoredManifest {
    let stored = StoredManifest {
        digest: digest.clone(),
        media_type: manifest.media_type().to_owned(),
        bytes: manifest.bytes().clone(),
    };
    let new = NewManifest {
        manifest: stored.clone(),
        // They come when somebody asks for them.
        blobs: Vec::new(),
        referrer: manifest.referrer(digest),
        tags,
        origin: None,
        keep_pushed: false,
    };
    let Shelf { store, room, .. } = &source.shelf;
    match store.manifest_put(repository, new).await {
        Ok(()) => room.manifest_came(&**store, stored.bytes.len() as u64).await,
        Err(error) => {
            tracing::error!(%digest, %repository, %error, "a manifest that was fetched cannot be kept");
        }
    }
    stored
}

/// Tells the operator: few clients show what comes with a 502.
pub(super) fn not_fetched(repository: &RepositoryName, reference: &impl Display, error: &Error) {
    if !error.is_absence() {
        tracing::warn!(%repository, %reference, %error, "a manifest was not fetched");
    }
}

/// What a failed look means to who asked for a manifest.
pub(super) fn judged(
    source: &Source,
    repository: &RepositoryName,
    reference: &Reference,
    error: &crate::client::Error,
) -> Error {
    match Verdict::of(&source.place, error) {
        Verdict::Absent(reason) => absent(repository, reference, reason),
        Verdict::Unreachable(error) | Verdict::Broken(error) => error,
    }
}

pub(super) fn absent(repository: &RepositoryName, reference: &Reference, reason: String) -> Error {
    Error::ManifestAbsent {
        repository: repository.clone(),
        reference: reference.to_string(),
        reason,
    }
}

pub(super) fn does_not_have_it(source: &Source) -> String {
    format!("{} does not have it", source.place)
}
