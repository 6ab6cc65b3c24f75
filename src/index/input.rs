use futures_util::TryStreamExt as _;
use jiff::Timestamp;

use super::{Architecture, Error, convert};
use crate::client::{BlobStream, Client};
use crate::copy::Source;
use crate::oci::{Content, Descriptor, Digest, ImageConfig, ImageReference, Manifest, Reference};

/// The image of one architecture.
#[derive(Debug, Clone)]
pub struct Input {
    /// For which.
    pub architecture: Architecture,
    /// Where: an image, or an index that has one for this architecture.
    pub source: Source,
}

/// An image that was read.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) architecture: Architecture,
    /// By its digest.
    pub(super) source: Source,
    /// As it stands in the index.
    pub(super) descriptor: Descriptor,
    pub(super) created: Option<Timestamp>,
}

/// Reads the manifest and the configuration of an image; of an index those of its image for the architecture.
/// With `v2s2` the image is made docker's.
pub(super) async fn read(client: &Client, input: &Input, v2s2: bool) -> Result<Child, Error> {
    let Input { architecture, source } = input;
    let look = Look { client, item: source.to_string(), architecture };
    let root = look.manifest(source, &source_reference(source)).await?;
    let (source, image) = match look.member(&root)? {
        None => (pinned(source, root.digest()), root),
        Some(digest) => {
            let source = pinned(source, &digest);
            let image = look.manifest(&source, &Reference::Digest(digest)).await?;
            (source, image)
        }
    };
    let config = look.config(&source, &image).await?;
    let (given, found) = (architecture.platform().clone().usual(), config.platform.usual());
    // Not all builders name the variant.
    let is_it = given.os == found.os
        && given.architecture == found.architecture
        && (found.variant == given.variant || found.variant.is_none());
    if !is_it {
        let (given, found) = (architecture.to_string(), found.to_string());
        return Err(Error::Mislabelled { item: look.item, given, found });
    }
    let (source, image) = if v2s2 { look.to_docker(source, image)? } else { (source, image) };
    let descriptor = Descriptor {
        media_type: image.media_type().to_owned(),
        digest: image.digest().clone(),
        size: image.bytes().len() as u64,
        platform: Some(architecture.platform().clone()),
        artifact_type: None,
        annotations: Default::default(),
    };
    let architecture = architecture.clone();
    Ok(Child { architecture, source, descriptor, created: config.created })
}

struct Look<'a> {
    client: &'a Client,
    item: String,
    architecture: &'a Architecture,
}

impl Look<'_> {
    async fn manifest(&self, source: &Source, reference: &Reference) -> Result<Manifest, Error> {
        let found = match (source, reference) {
            (Source::Registry(image), _) => {
                let found = self.client.image(image).manifest(reference).await;
                found.map_err(|source| Error::client(&self.item, source))?
            }
            (Source::Layout(image), Reference::Digest(digest)) => {
                let found = image.manifest(digest).await;
                Some(found.map_err(|source| Error::Layout { item: self.item.clone(), source })?)
            }
            (Source::Layout(_), Reference::Tag(_)) | (Source::Made(..), _) => None,
        };
        found.ok_or_else(|| self.none("the registry does not have it; check repository and tag"))
    }

    /// Which image of an index it is; `None` if it is no index.
    fn member(&self, root: &Manifest) -> Result<Option<Digest>, Error> {
        let index = match root.content() {
            Content::Image(_) => return Ok(None),
            Content::Index(index) => index,
        };
        let wanted = self.architecture.platform().clone().usual();
        let mut fitting = index.manifests.iter().filter(|it| {
            let platform = it.platform.clone();
            it.is_manifest() && platform.is_some_and(|it| it.usual() == wanted)
        });
        match (fitting.next(), fitting.next()) {
            (Some(image), None) => Ok(Some(image.digest.clone())),
            (Some(_), Some(_)) => Err(self.none("the index there lists several for it")),
            (None, _) => {
                let has: Vec<String> = root.platforms().iter().map(ToString::to_string).collect();
                Err(self.none(&format!("the index there has {}", has.join(", "))))
            }
        }
    }

    async fn config(&self, source: &Source, image: &Manifest) -> Result<ImageConfig, Error> {
        let config = match image.content() {
            Content::Image(image) if image.config.size <= ImageConfig::MAX_BYTES => &image.config,
            _ => return Err(self.none("what is there is no image")),
        };
        let bytes = match source {
            Source::Registry(at) => read_all(self.client.image(at).blob(config)).await,
            Source::Layout(at) => {
                let read: Result<Vec<_>, _> = at.blob(config).try_collect().await;
                let read =
                    read.map_err(|source| Error::Layout { item: self.item.clone(), source })?;
                Ok(read.concat())
            }
            Source::Made(..) => return Err(self.none("what is there is no image")),
        };
        let bytes = bytes.map_err(|source| Error::client(&self.item, source))?;
        ImageConfig::parse(&bytes)
            .ok_or_else(|| self.none("the configuration of what is there names no platform"))
    }

    fn to_docker(&self, source: Source, image: Manifest) -> Result<(Source, Manifest), Error> {
        let item = || self.item.clone();
        let made = convert::to_docker(&image);
        let made = made.map_err(|reason| Error::NotDocker { item: item(), reason })?;
        Ok(match made.digest() == image.digest() {
            true => (source, image),
            false => (Source::Made(Box::new(source), Box::new(made.clone())), made),
        })
    }

    fn none(&self, reason: &str) -> Error {
        Error::NoImage {
            item: self.item.clone(),
            given: self.architecture.to_string(),
            reason: reason.to_owned(),
        }
    }
}

pub(super) async fn read_all(blob: BlobStream) -> Result<Vec<u8>, crate::client::Error> {
    let chunks: Vec<_> = blob.try_collect().await?;
    Ok(chunks.concat())
}

fn source_reference(source: &Source) -> Reference {
    match source {
        Source::Registry(image) => image.reference.clone(),
        Source::Layout(image) => Reference::Digest(image.digest().clone()),
        Source::Made(_, manifest) => Reference::Digest(manifest.digest().clone()),
    }
}

/// What a tag stands for may change meanwhile.
fn pinned(source: &Source, digest: &Digest) -> Source {
    match source {
        Source::Registry(image) => {
            Source::Registry(ImageReference { tag: None, ..image.at(digest.clone()) })
        }
        Source::Layout(image) if image.digest() == digest => Source::Layout(image.clone()),
        Source::Layout(image) => Source::Layout(image.child(digest.clone())),
        Source::Made(..) => source.clone(),
    }
}
