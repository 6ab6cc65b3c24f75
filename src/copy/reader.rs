use std::fmt;
use std::sync::Arc;

use futures_util::stream::{StreamExt, TryStreamExt};

use super::Builds;
use super::shared::Shared;
use crate::client::{self, BlobStream, Client, Repository};
use crate::layout;
use crate::oci::{Descriptor, ImageReference, Manifest, Reference};

/// Where an image is read.
#[derive(Debug, Clone)]
pub enum Source {
    /// In a registry.
    Registry(ImageReference),
    /// In a layout or archive of this host.
    Layout(layout::Image),
    /// A manifest that was made of another one's blobs, and where those are.
    Made(Box<Source>, Box<Manifest>),
}

/// A source as it is read.
#[derive(Debug, Clone)]
pub(super) enum Reader {
    Registry(Repository),
    Layout(layout::Image),
    Made(Box<Reader>, Box<Manifest>),
    /// A registry, for several others at once.
    Shared(Arc<Shared>),
}

impl Source {
    pub(super) fn reader(&self, client: &Client, builds: &Builds) -> Reader {
        match self {
            Self::Registry(image) => {
                Reader::Registry(client.image(image).for_build(builds.reader.as_ref()))
            }
            Self::Layout(image) => Reader::Layout(image.clone()),
            Self::Made(blobs, manifest) => {
                Reader::Made(Box::new(blobs.reader(client, builds)), manifest.clone())
            }
        }
    }

    /// What is asked for: an image of a layout by its digest, as it was chosen when that was opened.
    pub(super) fn reference(&self) -> Reference {
        match self {
            Self::Registry(image) => image.reference.clone(),
            Self::Layout(image) => image.digest().clone().into(),
            Self::Made(_, manifest) => manifest.digest().clone().into(),
        }
    }
}

impl Reader {
    /// The repository, if it is one: what a registry has can be mounted, and need not be moved at all.
    pub(super) fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Registry(repository) => Some(repository),
            Self::Layout(_) => None,
            Self::Made(blobs, _) => blobs.repository(),
            Self::Shared(shared) => shared.from().repository(),
        }
    }

    /// Where the blobs are.
    pub(super) fn blobs(&self) -> &Self {
        match self {
            Self::Made(blobs, _) => blobs,
            other => other,
        }
    }

    /// One of the repositories that need a blob of it has it.
    pub(super) fn done(&self) {
        if let Self::Shared(shared) = self {
            shared.done();
        }
    }

    pub(super) fn blob(&self, blob: &Descriptor) -> BlobStream {
        match self {
            Self::Registry(repository) => repository.blob(blob),
            Self::Shared(shared) => shared.blob(blob),
            Self::Made(blobs, _) => blobs.blob(blob),
            Self::Layout(image) => {
                let doing = format!("reading {}", blob.digest);
                let failed = move |source: layout::Error| client::Error::Source {
                    doing: doing.clone(),
                    source: source.into(),
                };
                image.blob(blob).map_err(failed).boxed()
            }
        }
    }
}

/// The repository, or the image of a layout.
impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(from) => write!(f, "{}/{}", from.registry(), from.name()),
            Self::Layout(image) => image.fmt(f),
            Self::Made(blobs, _) => blobs.fmt(f),
            Self::Shared(shared) => shared.from().fmt(f),
        }
    }
}

impl From<ImageReference> for Source {
    fn from(image: ImageReference) -> Self {
        Self::Registry(image)
    }
}

impl From<layout::Image> for Source {
    fn from(image: layout::Image) -> Self {
        Self::Layout(image)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(image) => image.fmt(f),
            Self::Layout(image) => image.fmt(f),
            Self::Made(blobs, _) => blobs.fmt(f),
        }
    }
}
