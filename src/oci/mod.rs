//! Nouns of the OCI specifications: digests, names, references, descriptors, manifests, error codes.
//!
//! No I/O and no async. The types are parsed once at the edge and cannot hold a wrong value
//! afterwards. Sections: distribution-spec 1.1 "Pull" (grammar of names and tags) and "Error
//! codes"; image-spec 1.1 "descriptor.md", "manifest.md", "image-index.md". This is the only room
//! that imports `oci_distribution` (oci-client): its document types are read here and turned into
//! ours, and its error envelope is used as it is.

mod config;
mod conversions;
mod descriptor;
mod digest;
mod location;
mod manifest;
pub mod media_type;
mod name;
mod reference;
mod referrer;
mod text;

pub use oci_distribution::errors::{OciEnvelope, OciError, OciErrorCode};

pub use self::config::ImageConfig;
pub(crate) use self::conversions::text_conversions;
pub use self::descriptor::{Descriptor, Platform};
pub use self::digest::{Algorithm, Digest, Digester};
pub use self::location::{Choice, LayoutReference, Location, Transport};
pub use self::manifest::{Content, Image, Index, MAX_MANIFEST_BYTES, Manifest};
pub use self::name::{Reference, RepositoryName, Tag};
pub use self::reference::{ImageReference, Registry};
pub use self::referrer::referrers_index;
pub use self::text::{is_invisible, printable, push_visible};

/// What is wrong with a value that should have been one of the nouns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not `algorithm:hex` of a supported algorithm.
    #[error("`{value}` is not a digest: {reason}")]
    Digest {
        /// What was given.
        value: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A repository name outside the grammar of the distribution-spec.
    #[error("`{value}` is not a repository name: {reason}")]
    Name {
        /// What was given.
        value: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A tag outside the grammar of the distribution-spec.
    #[error("`{value}` is not a tag: {reason}")]
    Tag {
        /// What was given.
        value: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// Not `HOST[:PORT]`.
    #[error("`{value}` is not a registry: {reason}")]
    Registry {
        /// What was given.
        value: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// Not a place on a disk as containers-transports(5) spells them.
    #[error("`{value}` is no place of an image: {reason}")]
    Location {
        /// What was given.
        value: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// Not `os/architecture[/variant]`.
    #[error("`{value}` is not a platform: expected OS/ARCH[/VARIANT], e.g. linux/arm64")]
    Platform {
        /// What was given.
        value: String,
    },
    /// A manifest that cannot be stored or carried.
    #[error("not a valid manifest: {reason}")]
    Manifest {
        /// Which rule it breaks.
        reason: String,
    },
}
