use std::io;

use crate::{client, copy, layout};

/// Why nothing was published. Nothing is tagged then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No index names such an architecture.
    #[error(
        "unknown architecture `{0}`: the architecture table of this version has x86_64, aarch64, ppc64le, s390x, i686, \
         arm/v7, arm/v6, arm/v5 and mips64le, each under Fedora's, Debian's and OCI's names; check the spelling, or \
         ask zuul-images for another one"
    )]
    UnknownArchitecture(String),
    /// No image was given.
    #[error("there is no image to make an index of")]
    Nothing,
    /// One architecture twice.
    #[error("there are two images for the architecture {0}; give one for each")]
    Twice(String),
    /// One tag twice.
    #[error("{0} is named twice")]
    TargetTwice(String),
    /// What only the other kind of index has.
    #[error(
        "a manifest list of docker's kind has no annotations; leave them away, or make OCI images"
    )]
    Annotations,
    /// The index cannot be written down.
    #[error("cannot compose the index: {0}")]
    Index(String),
    /// Images of both kinds.
    #[error(
        "refused, nothing was written: mixed media types: {0}; registries take no index over OCI and docker \
         images together: build all of them in one format, or make all docker's with --v2s2"
    )]
    Mixed(String),
    /// An image cannot be made docker's.
    #[error("refused, nothing was written: {item} cannot be made an image of docker's: {reason}")]
    NotDocker {
        /// The image.
        item: String,
        /// What stands in the way.
        reason: String,
    },
    /// An image is not for the architecture it was given for.
    #[error("refused, nothing was written: {item} was given for {given}, but is for {found}")]
    Mislabelled {
        /// The image.
        item: String,
        /// What it was given for.
        given: String,
        /// What it says itself.
        found: String,
    },
    /// No image there for the architecture.
    #[error("{item}: there is no image for {given}; {reason}")]
    NoImage {
        /// Where it was looked for.
        item: String,
        /// For which architecture.
        given: String,
        /// What is there.
        reason: String,
    },
    /// A registry could not be asked; what does not answer is never taken for absent.
    #[error("{item}: {source}")]
    Client {
        /// What was being looked at.
        item: String,
        /// What happened.
        source: Box<client::Error>,
    },
    /// What lies on the disk cannot be read.
    #[error("{item}: {source}")]
    Layout {
        /// What was being looked at.
        item: String,
        /// What happened.
        source: layout::Error,
    },
    /// The images could not be brought to their repositories.
    #[error(transparent)]
    Copy(#[from] copy::Error),
    /// A tree of metadata that is none.
    #[error("{file}: {reason}")]
    Tree {
        /// The file.
        file: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A file could not be written.
    #[error("cannot write {file}: {source}")]
    Write {
        /// The file.
        file: String,
        /// What happened.
        source: io::Error,
    },
}

impl Error {
    pub(super) fn client(item: &str, source: client::Error) -> Self {
        Self::Client { item: item.to_owned(), source: Box::new(source) }
    }

    /// Whether the arguments or input files were wrong.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::UnknownArchitecture(_)
            | Self::Nothing
            | Self::Twice(_)
            | Self::TargetTwice(_)
            | Self::Annotations
            | Self::Tree { .. } => true,
            Self::Layout { source, .. } => source.is_input(),
            _ => false,
        }
    }

    /// Whether a safety rule said no.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Mixed(_) | Self::Mislabelled { .. } | Self::NotDocker { .. } => true,
            Self::Copy(error) => error.is_refusal(),
            _ => false,
        }
    }

    /// One word for the meaning, for machines.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoImage { .. } => "not-found",
            Self::Client { source, .. } => source.kind(),
            Self::Layout { source, .. } => source.kind(),
            Self::Copy(error) => error.kind(),
            Self::Write { .. } => "io",
            Self::Index(_) => "manifest",
            _ => "input",
        }
    }
}
