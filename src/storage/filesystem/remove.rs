//! How things are removed for good. In this order, so that nothing ever points at nothing: tags, manifests, their
//! places among referrers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Inner;
use super::drafts::Draft;
use super::files::{self, Unsynced};
use crate::oci::{Digest, RepositoryName, Tag};
use crate::storage::Error;

impl Inner {
    /// Removes manifests, each named with its subject, and of the tags known those that still point at
    /// them. Held alone.
    pub(super) fn remove_manifests(
        &self,
        repository: &RepositoryName,
        doomed: &[(&Digest, Option<&Digest>)],
        tags: &BTreeMap<Digest, Vec<Tag>>,
    ) -> Result<(), Error> {
        let mut unsynced = Unsynced::default();
        for (digest, _) in doomed {
            for tag in tags.get(digest).into_iter().flatten() {
                // Whoever moved the tag on, moved it to a manifest that was just pushed.
                if self.tag_get(repository, tag).is_ok_and(|state| state.digest == **digest) {
                    let path = self.layout.tag(repository, tag);
                    self.files.remove_unsynced(&path, &mut unsynced)?;
                }
            }
        }
        self.files.settle(std::mem::take(&mut unsynced))?;
        for (digest, _) in doomed {
            let path = self.layout.manifest(repository, digest);
            self.files.remove_unsynced(&path, &mut unsynced)?;
        }
        self.files.settle(std::mem::take(&mut unsynced))?;
        for (digest, subject) in doomed {
            if let Some(subject) = subject {
                let path = self.layout.referrer(repository, subject, digest);
                self.files.remove_unsynced(&path, &mut unsynced)?;
            }
        }
        self.files.settle(unsynced)?;
        self.remove_empty(repository);
        Ok(())
    }

    /// Takes the name of content and its links.
    pub(super) fn throw_away(
        &self,
        digest: &Digest,
        unsynced: &mut Unsynced,
    ) -> Result<Option<Draft>, Error> {
        self.files.withdraw(&self.layout.content(digest), unsynced)
    }

    /// Removes folders that no image is in any more. Held alone.
    fn remove_empty(&self, repository: &RepositoryName) {
        let image = self.layout.image(repository);
        let below = |folder: &Path| -> Vec<PathBuf> {
            let names = files::names(folder).ok().flatten().unwrap_or_default();
            names.iter().map(|name| folder.join(name)).collect()
        };
        let folders = [self.layout.all_referrers(repository), self.layout.manifests(repository)];
        for folder in folders.iter().flat_map(|folder| below(folder)) {
            self.files.remove_if_empty(&folder);
        }
        for folder in below(&image).iter().chain([&image]) {
            self.files.remove_if_empty(folder);
        }
    }
}
