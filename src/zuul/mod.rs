//! The words of Zuul's container jobs: lists of images and of what is mirrored, artifacts, temporary tags,
//! connections, credentials, origins and pointers of speculative images, what is tested together.
//!
//! Types and the reading of their files; no network. The shapes are those of the `zuul-jobs`
//! container roles, so that site configuration and artifacts stay exchangeable with them. A leaf:
//! every room may use it, it uses only `oci`.

mod artifact;
mod build;
mod change;
mod connection;
mod credentials;
mod document;
mod exchange;
mod images;
mod mirror;
mod origin;
mod pointer;
mod provenance;
mod tested;

pub use self::artifact::{
    ImageArtifact, Returned, UploadArtifact, image_artifacts, read_artifacts,
};
pub use self::build::BuildId;
pub use self::change::{TemporaryPrefix, Word};
pub use self::connection::Connection;
pub use self::credentials::{ApiKind, RegistryCredentials, RegistryLogin};
pub use self::document::{Document, Secrecy};
pub use self::exchange::{
    ImageWanted, Issued, Pointers, PointersTaken, Refusal, Taken, TokensIssued, TokensWanted,
};
pub use self::images::{ImageList, ZuulImage, path_below_registry};
pub use self::mirror::{MirrorList, Mirrored};
pub use self::origin::{Label, Origin};
pub use self::pointer::{Pointer, PointerUrl, PullToken};
pub use self::provenance::Provenance;
pub use self::tested::{Tested, TestedChange};

use crate::oci::printable;

/// Input that cannot be used; names the item and the place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read at all.
    #[error("cannot read {file}: {source}")]
    Unreadable {
        /// The file, or `standard input`.
        file: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The file's text is not what it should be.
    #[error("{file}: {detail}")]
    Document {
        /// The file, or `standard input`.
        file: String,
        /// What is wrong, with line and column.
        detail: String,
    },
    /// A value inside is not allowed.
    #[error("{item}: {reason}")]
    Value {
        /// Which item.
        item: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    fn value(item: impl Into<String>, reason: impl ToString) -> Self {
        // Untrusted jobs write what is named.
        let short = |text: &str| printable(text, 400);
        Self::Value { item: short(&item.into()), reason: short(&reason.to_string()) }
    }
}
