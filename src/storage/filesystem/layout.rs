use std::path::{Path, PathBuf};

use crate::oci::{Digest, RepositoryName, Tag};
use crate::storage::UploadId;

/// Where things are below the root. Folders of our own in a repository start with `_`, which no part
/// of a repository name does.
///
/// ```text
/// format                                 number of the layout
/// lock                                   held by the process that serves
/// blobs/ALGORITHM/HE/HEX                 content
/// repositories/NAME/_blobs/ALGORITHM/HEX size of a blob readable through the repository
///                  /_manifests/ALGORITHM/HEX   media type, line break, bytes
///                  /_referrers/DIGEST/DIGEST   descriptor of a manifest attached to the first
///                  /_tags/TAG                  digest; the origin (JSON) on a second line, where one was named
/// uploads/ID                             bytes of an upload; ID.json: its state, while nobody serves
/// temporary/                             files before their rename
/// ```
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

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

    pub(super) fn content(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let mut path = self.root.join("blobs");
        path.push(digest.algorithm().as_str());
        path.push(hex.get(..2).unwrap_or_default());
        path.push(hex);
        path
    }

    pub(super) fn repositories(&self) -> PathBuf {
        self.root.join("repositories")
    }

    pub(super) fn blob(&self, repository: &RepositoryName, digest: &Digest) -> PathBuf {
        by_digest(self.part(repository, "_blobs"), digest)
    }

    pub(super) fn manifests(&self, repository: &RepositoryName) -> PathBuf {
        self.part(repository, "_manifests")
    }

    pub(super) fn manifest(&self, repository: &RepositoryName, digest: &Digest) -> PathBuf {
        by_digest(self.manifests(repository), digest)
    }

    pub(super) fn referrers(&self, repository: &RepositoryName, subject: &Digest) -> PathBuf {
        let mut path = self.part(repository, "_referrers");
        path.push(flat(subject));
        path
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
        self.part(repository, "_tags")
    }

    pub(super) fn tag(&self, repository: &RepositoryName, tag: &Tag) -> PathBuf {
        let mut path = self.tags(repository);
        path.push(tag.as_str());
        path
    }

    fn part(&self, repository: &RepositoryName, part: &str) -> PathBuf {
        let mut path = self.repositories();
        path.push(repository.as_str());
        path.push(part);
        path
    }
}

fn by_digest(mut folder: PathBuf, digest: &Digest) -> PathBuf {
    folder.push(digest.algorithm().as_str());
    folder.push(digest.hex());
    folder
}

fn flat(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().as_str(), digest.hex())
}
