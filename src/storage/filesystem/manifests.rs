use std::iter;
use std::path::PathBuf;

use bytes::Bytes;

use super::Inner;
use super::drafts::Draft;
use super::files::{self, Unsynced};
use super::layout;
use super::recent::Fresh;
use crate::oci::{Digest, Manifest, RepositoryName, Tag};
use crate::storage::{Error, NewManifest, StoredManifest, TagState};

impl Inner {
    /// The order is the promise: blobs are there, then the manifest's place among the referrers (an
    /// entry without its manifest is not shown), then the manifest, then the tags. A crash in between
    /// leaves nothing that points at nothing.
    pub(super) fn manifest_put(
        &self,
        repository: &RepositoryName,
        new: &NewManifest,
    ) -> Result<(), Error> {
        let manifest = &new.manifest;
        let draft =
            self.files.drafts.file(&[manifest.media_type.as_bytes(), b"\n", &manifest.bytes])?;
        let referrer = new.referrer.as_ref();
        let referrer =
            referrer.map(|(_, descriptor)| self.files.drafts.file(&[descriptor])).transpose()?;
        let origin = new.origin.as_ref().and_then(|origin| serde_json::to_vec(origin).ok());
        let mut held = vec![manifest.digest.as_str().as_bytes(), b"\n"];
        held.extend(origin.iter().flat_map(|origin| [origin.as_slice(), b"\n"]));
        let tags = new.tags.iter().map(|_| self.files.drafts.file(&held));
        let tags = tags.collect::<Result<Vec<_>, _>>()?;
        let drafts: Vec<&Draft> = iter::once(&draft).chain(&referrer).chain(&tags).collect();
        self.files.drafts.sync(&drafts)?;

        let mut wary = new.tags.iter().filter(|_| new.keep_pushed).peekable();
        // Nobody sets a tag between the look at it and its change.
        let _held = match wary.peek() {
            Some(_) => self.changes.alone()?,
            None => self.changes.shared()?,
        };
        wary.try_for_each(|tag| self.demand_not_pushed(repository, tag))?;
        self.demand_blobs(repository, &new.blobs)?;
        let named = referrer.zip(new.referrer.as_ref());
        let named = named.map(|(draft, (subject, _))| {
            (draft, self.layout.referrer(repository, subject, &manifest.digest))
        });
        self.place_all(named)?;
        self.place_all([(draft, self.layout.manifest(repository, &manifest.digest))])?;
        let paths = new.tags.iter().map(|tag| self.layout.tag(repository, tag));
        self.place_all(tags.into_iter().zip(paths))
    }

    fn demand_not_pushed(&self, repository: &RepositoryName, tag: &Tag) -> Result<(), Error> {
        match self.tag_get(repository, tag) {
            Ok(TagState { digest, origin: None, .. }) => {
                let (repository, tag) = (repository.clone(), tag.clone());
                Err(Error::TagKept { repository, tag, digest })
            }
            Ok(_) | Err(Error::ManifestUnknown { .. } | Error::Damaged(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn place_all(&self, drafts: impl IntoIterator<Item = (Draft, PathBuf)>) -> Result<(), Error> {
        let mut unsynced = Unsynced::default();
        for (draft, path) in drafts {
            self.files.place(draft, &path, &mut unsynced)?;
        }
        self.files.settle(unsynced)
    }

    /// Renews the leases of what is there.
    fn demand_blobs(
        &self,
        repository: &RepositoryName,
        blobs: &[(Digest, u64)],
    ) -> Result<(), Error> {
        let mut missing = Vec::new();
        let mut wrong = None;
        for (digest, announced) in blobs {
            match self.lease(repository, digest) {
                Ok(size) if size == *announced => {}
                Ok(size) => {
                    let (digest, announced) = (digest.clone(), *announced);
                    wrong = wrong.or(Some(Error::BlobSize { digest, announced, size }));
                }
                // Content that went bad is missing: a client that is told so pushes it again.
                Err(Error::BlobUnknown { .. } | Error::Damaged(_)) => missing.push(digest.clone()),
                Err(error) => return Err(error),
            }
        }
        if missing.is_empty() {
            return wrong.map_or(Ok(()), Err);
        }
        Err(Error::BlobsMissing { repository: repository.clone(), digests: missing })
    }

    pub(super) fn manifest_get(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<StoredManifest, Error> {
        let path = self.layout.manifest(repository, digest);
        if let Some(manifest) = self.recent_manifests.get(&path) {
            return Ok(manifest);
        }
        let file = Fresh::read(&path)?.ok_or_else(|| unknown(repository, digest))?;
        let Fresh { bytes: file, look, .. } = file;
        let damaged = || Error::Damaged(format!("{}: not what was stored", path.display()));
        let end = file.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
        let mut file = Bytes::from(file);
        let media_type = file.split_to(end);
        let bytes = file.slice(1..);
        if Digest::of(digest.algorithm(), &bytes) != *digest {
            return Err(damaged());
        }
        let media_type = String::from_utf8(media_type.into()).map_err(|_| damaged())?;
        let manifest = StoredManifest { digest: digest.clone(), media_type, bytes };
        self.recent_manifests.add(path, look, manifest.clone());
        Ok(manifest)
    }

    /// The other way round: what points at the manifest goes first.
    pub(super) fn manifest_delete(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error> {
        let _alone = self.changes.alone()?;
        let path = self.layout.manifest(repository, digest);
        if !path.is_file() {
            return Err(unknown(repository, digest));
        }
        for tag in self.all_tags(repository)?.unwrap_or_default() {
            match self.tag_get(repository, &tag) {
                Ok(TagState { digest: held, .. }) if held == *digest => {
                    self.files.remove(&self.layout.tag(repository, &tag))?;
                }
                _ => {}
            }
        }
        if let Some(subject) = self.subject_of(repository, digest) {
            let path = self.layout.referrer(repository, &subject, digest);
            self.files.remove(&path)?;
        }
        self.files.remove(&path)?;
        Ok(())
    }

    /// A damaged manifest has no subject we know: it can be removed all the same.
    pub(super) fn subject_of(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Option<Digest> {
        let stored = self.manifest_get(repository, digest).ok()?;
        let manifest = Manifest::parse(stored.bytes, Some(&stored.media_type)).ok()?;
        Some(manifest.subject()?.digest.clone())
    }

    /// An entry without its manifest (a crash while it was removed) is left out.
    pub(super) fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Bytes>, Error> {
        let folder = self.layout.referrers(repository, subject);
        let mut descriptors = Vec::new();
        for name in files::names(&folder)?.unwrap_or_default() {
            let Some(digest) = layout::digest(&name) else { continue };
            if self.layout.manifest(repository, &digest).is_file() {
                descriptors.extend(files::read(&folder.join(name))?.map(Bytes::from));
            }
        }
        Ok(descriptors)
    }

    pub(super) fn tag_get(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<TagState, Error> {
        let path = self.layout.tag(repository, tag);
        if let Some(state) = self.recent_tags.get(&path) {
            return Ok(state);
        }
        let file = Fresh::read(&path)?.ok_or_else(|| unknown(repository, tag))?;
        let Fresh { bytes: text, modified, look } = file;
        let damaged = |what: &str| Error::Damaged(format!("{}: {what}", path.display()));
        let text = String::from_utf8(text).map_err(|_| damaged("not a digest"))?;
        let mut lines = text.lines();
        let digest = lines.next().and_then(|line| line.trim_end().parse().ok());
        let digest = digest.ok_or_else(|| damaged("not a digest"))?;
        let origin = lines.next().filter(|line| !line.is_empty()).map(serde_json::from_str);
        let origin = origin.transpose().map_err(|_| damaged("not an origin"))?;
        let state = TagState { digest, modified, origin };
        self.recent_tags.add(path, look, state.clone());
        Ok(state)
    }

    pub(super) fn manifest_tagged(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<(TagState, Result<StoredManifest, Error>), Error> {
        let state = self.tag_get(repository, tag)?;
        let manifest = self.manifest_get(repository, &state.digest);
        Ok((state, manifest))
    }

    pub(super) fn tag_delete(&self, repository: &RepositoryName, tag: &Tag) -> Result<(), Error> {
        let _alone = self.changes.alone()?;
        if self.files.remove(&self.layout.tag(repository, tag))? {
            return Ok(());
        }
        Err(unknown(repository, tag))
    }
}

fn unknown(repository: &RepositoryName, reference: &impl ToString) -> Error {
    Error::ManifestUnknown { repository: repository.clone(), reference: reference.to_string() }
}
