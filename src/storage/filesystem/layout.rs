use std::path::{Path, PathBuf};

use crate::oci::{Digest, RepositoryName, Tag};
use crate::storage::UploadId;

/// Where things are below the root. A repository is one name there: `a/b` is `a+b`, since no part of a
/// name holds a `+`. The order of the names is that of the repositories but for the slash.
///
/// ```text
/// format                             number of the layout
/// lock                               locked by the process that serves
/// visitors                           locked shared by others, alone to change the layout
/// turn, gate                         locked for a change
/// prune                              locked by the process that prunes
/// content/ALGORITHM/HE/HEX/+data     content
///                         /NAME      link of a repository through which it is readable: symbolic,
///                                    its text is the size; its time is the blob's lease there
/// images/NAME/manifests/ALGORITHM/HEX   media type, line break, bytes; its time is that of the last
///                                       push or pull
///            /referrers/DIGEST/DIGEST   descriptor of a manifest attached to the first
///            /tags/TAG                  digest; its origin (JSON) on a second line, if one was named
/// uploads/ID                         bytes of an upload; ID.json: its state, while nobody serves
/// temporary/                         what has no name yet, or none any more
/// ```
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

/// The content in its folder.
pub(super) const DATA: &str = "+data";

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn format(&self) -> PathBuf {
        self.root.join("format")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(super) fn visitors(&self) -> PathBuf {
        self.root.join("visitors")
    }

    pub(super) fn turn(&self) -> PathBuf {
        self.root.join("turn")
    }

    pub(super) fn gate(&self) -> PathBuf {
        self.root.join("gate")
    }

    pub(super) fn prune(&self) -> PathBuf {
        self.root.join("prune")
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.root.join("temporary")
    }

    pub(super) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(super) fn upload(&self, id: &UploadId) -> PathBuf {
        self.uploads().join(id.as_str())
    }

    pub(super) fn upload_state(&self, id: &UploadId) -> PathBuf {
        self.uploads().join(format!("{id}.json"))
    }

    pub(super) fn contents(&self) -> PathBuf {
        self.root.join("content")
    }

    /// The folder of content and links.
    pub(super) fn content(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let mut path = self.contents();
        path.push(digest.algorithm().as_str());
        path.push(hex.get(..2).unwrap_or_default());
        path.push(hex);
        path
    }

    pub(super) fn data(&self, digest: &Digest) -> PathBuf {
        self.content(digest).join(DATA)
    }

    pub(super) fn link(&self, repository: &RepositoryName, digest: &Digest) -> PathBuf {
        self.content(digest).join(flat_name(repository))
    }

    pub(super) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(super) fn image(&self, repository: &RepositoryName) -> PathBuf {
        self.images().join(flat_name(repository))
    }

    pub(super) fn manifests(&self, repository: &RepositoryName) -> PathBuf {
        self.image(repository).join("manifests")
    }

    pub(super) fn manifest(&self, repository: &RepositoryName, digest: &Digest) -> PathBuf {
        let mut path = self.manifests(repository);
        path.push(digest.algorithm().as_str());
        path.push(digest.hex());
        path
    }

    pub(super) fn all_referrers(&self, repository: &RepositoryName) -> PathBuf {
        self.image(repository).join("referrers")
    }

    pub(super) fn referrers(&self, repository: &RepositoryName, subject: &Digest) -> PathBuf {
        self.all_referrers(repository).join(flat(subject))
    }

    pub(super) fn referrer(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        referrer: &Digest,
    ) -> PathBuf {
        let mut path = self.referrers(repository, subject);
        path.push(flat(referrer));
        path
    }

    pub(super) fn tags(&self, repository: &RepositoryName) -> PathBuf {
        self.image(repository).join("tags")
    }

    pub(super) fn tag(&self, repository: &RepositoryName, tag: &Tag) -> PathBuf {
        let mut path = self.tags(repository);
        path.push(tag.as_str());
        path
    }
}

/// A repository as one name.
pub(super) fn flat_name(repository: &RepositoryName) -> String {
    repository.as_str().replace('/', "+")
}

/// The other way round.
pub(super) fn repository(name: &str) -> Option<RepositoryName> {
    name.replace('+', "/").parse().ok()
}

fn flat(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().as_str(), digest.hex())
}

/// The other way round.
pub(super) fn digest(name: &str) -> Option<Digest> {
    name.replacen('-', ":", 1).parse().ok()
}
