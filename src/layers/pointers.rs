use async_trait::async_trait;

use crate::oci::{Digest, RepositoryName, Tag};
use crate::zuul::Origin;

/// Who knows which images exist elsewhere, although nobody has moved them here yet.
#[async_trait]
pub trait Pointers: Send + Sync {
    /// Where the image of this name and tag is.
    async fn at_tag(&self, repository: &RepositoryName, tag: &Tag) -> Option<Lead>;

    /// All that are known of a repository.
    async fn of_repository(&self, repository: &RepositoryName) -> Vec<Lead>;
}

/// An image elsewhere.
#[derive(Debug, Clone)]
pub struct Lead {
    /// Under which tag it is known.
    pub tag: Tag,
    /// What the tag stands for; whatever is fetched is checked against it.
    pub digest: Digest,
    /// The repository it is read from, with the right to do so.
    pub source: crate::client::Repository,
    /// Whether that right ends with this image.
    pub confined: bool,
    /// The change it comes from, where that is known.
    pub origin: Option<Origin>,
}
