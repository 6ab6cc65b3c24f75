use std::fmt;

use serde::Serialize;

use crate::oci::RepositoryName;

/// How a store is looked through.
#[derive(Debug, Clone, Copy, Default)]
pub struct Verifying {
    /// Images may lack blobs: a registry may accept them so, and in a cache they come when somebody asks
    /// for them. They are counted, and no damage.
    pub sparse: bool,
    /// Remove damaged content, links, manifests and tags, so that a client that pushes them again is not
    /// told that they are there.
    pub remove_damaged: bool,
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verified {
    /// What is not as it was stored.
    pub damage: Vec<Damage>,
    /// How much was looked at.
    pub totals: VerifyTotals,
}

/// Something that is not as it was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// What it is.
    pub kind: DamageKind,
    /// The repository it is in; nothing for content, which belongs to all that link it.
    pub repository: Option<RepositoryName>,
    /// The digest or tag.
    pub name: String,
    /// What is wrong.
    pub problem: String,
    /// The images that cannot be pulled, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`.
    pub images: Vec<String>,
    /// Whether it was removed.
    pub removed: bool,
}

/// What can be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DamageKind {
    /// The bytes of a blob.
    Blob,
    /// A repository's link to a blob.
    Link,
    /// A manifest, or something it needs.
    Manifest,
    /// A tag.
    Tag,
    /// An entry among the referrers of a manifest.
    Referrer,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct VerifyTotals {
    /// Repositories.
    pub repositories: u64,
    /// Manifests, each read and hashed.
    pub manifests: u64,
    /// Those of them without all their blobs, where that is no damage.
    pub sparse: u64,
    /// Tags.
    pub tags: u64,
    /// Entries among referrers.
    pub referrers: u64,
    /// Blobs, each read and hashed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Blob => "blob",
            Self::Link => "link",
            Self::Manifest => "manifest",
            Self::Tag => "tag",
            Self::Referrer => "referrer",
        })
    }
}
