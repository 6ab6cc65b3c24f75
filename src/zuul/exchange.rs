//! What `pull --lazy` and our registries say to each other, as JSON.

use serde::{Deserialize, Serialize};

use super::{Origin, Pointer, PullToken};
use crate::oci::{Digest, RepositoryName, Tag};

/// `POST /zuul/v1/pull-tokens` of the intermediate registry: tokens for these images.
#[derive(Debug, Serialize, Deserialize)]
pub struct TokensWanted {
    /// Which images.
    pub images: Vec<ImageWanted>,
}

/// An image to pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageWanted {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag.
    pub tag: Tag,
}

/// The answer, one entry for each image wanted, in their order.
#[derive(Debug, Serialize, Deserialize)]
pub struct TokensIssued {
    /// A token each, or why not.
    pub images: Vec<Issued>,
}

/// A token for one image, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Issued {
    /// There is the image, and a token for it.
    Token {
        /// Digest of its manifest.
        digest: Digest,
        /// Size of its manifest in bytes.
        size: u64,
        /// Good for pulling it and nothing else.
        token: PullToken,
        /// When the token expires, in seconds since 1970.
        expires: u64,
        /// Which build pushed it, where that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
    },
    /// The image is not given.
    Refused {
        /// Of which sort the reason is.
        refused: Refusal,
        /// The reason.
        message: String,
    },
}

/// Why an image is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Refusal {
    /// There is none.
    Absent,
    /// It is another tenant's.
    Tenant,
    /// This login may not read it.
    Denied,
    /// The registry failed.
    Failed,
}

/// `PUT` or `POST /zuul/v1/pointers` of the buildset registry, and what `GET` shows (without tokens).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointers {
    /// The pointers.
    pub pointers: Vec<Pointer>,
}

/// The answer, one entry for each pointer, in their order.
#[derive(Debug, Serialize, Deserialize)]
pub struct PointersTaken {
    /// What became of each.
    pub pointers: Vec<Taken>,
}

/// What became of a pointer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Whether it is new here, or other than the one that stood under its name and tag.
    pub changed: bool,
    /// Why it was not taken: the image cannot be had through it from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The digest this buildset has pushed under the same name and tag itself, which is what is pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed: Option<Digest>,
}
