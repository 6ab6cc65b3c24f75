use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::oci::{Content, Digest, Image, Manifest, Platform, RepositoryName, media_type};
use crate::storage::{Error, Part, Storage, StoredManifest};

/// How many children of an index are looked at.
const MOST_CHILDREN: usize = 16;

/// How large a configuration is read to learn the platform.
const MOST_CONFIG_BYTES: u64 = 256 * 1024;

/// What the bytes of an image say. All text in it comes from whoever pushed it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Details {
    /// `image`, `index`, `artifact`, `unreadable` or `unknown`.
    pub(super) kind: &'static str,
    /// What an artifact calls itself.
    pub(super) artifact_type: Option<String>,
    /// Platforms, for an index in its order.
    pub(super) platforms: Vec<String>,
    /// Bytes of configurations and layers as they are kept, each blob counted once.
    pub(super) size: u64,
    /// Whether all of it was looked at: not so for an index whose images are not (all) here.
    pub(super) whole: bool,
}

impl Details {
    /// Of an image that has not been fetched.
    pub(super) fn unknown() -> Self {
        Self { kind: "unknown", ..Self::default() }
    }
}

/// Reads what a page shows of an image: its manifest, and some children or its configuration.
pub(super) async fn of(
    storage: &dyn Storage,
    repository: &RepositoryName,
    stored: StoredManifest,
) -> Result<Details, Error> {
    let Ok(manifest) = Manifest::parse(stored.bytes, Some(&stored.media_type)) else {
        return Ok(Details { kind: "unreadable", ..Details::default() });
    };
    let mut blobs = BTreeMap::new();
    match manifest.content() {
        Content::Image(image) => {
            count(&mut blobs, image);
            let platform = platform(storage, repository, image).await?;
            // The configuration of what is fetched may come later, or never.
            let is_image =
                platform.is_some() || media_type::is_image_config(&image.config.media_type);
            let artifact_type = image.artifact_type.clone();
            let artifact_type = artifact_type.or_else(|| Some(image.config.media_type.clone()));
            Ok(Details {
                kind: if is_image { "image" } else { "artifact" },
                artifact_type: artifact_type.filter(|_| !is_image),
                platforms: platform.into_iter().collect(),
                size: blobs.values().fold(0, |sum: u64, size| sum.saturating_add(*size)),
                whole: true,
            })
        }
        Content::Index(index) => {
            let mut whole = index.manifests.len() <= MOST_CHILDREN;
            for child in index.manifests.iter().take(MOST_CHILDREN) {
                let Ok(stored) = storage.manifest_get(repository, &child.digest).await else {
                    whole = false;
                    continue;
                };
                let child = Manifest::parse(stored.bytes, Some(&stored.media_type));
                if let Ok(Content::Image(image)) = child.as_ref().map(Manifest::content) {
                    count(&mut blobs, image);
                } else {
                    whole = false;
                }
            }
            Ok(Details {
                kind: "index",
                artifact_type: index.artifact_type.clone(),
                platforms: manifest.platforms().iter().map(Platform::to_string).collect(),
                size: blobs.values().fold(0, |sum: u64, size| sum.saturating_add(*size)),
                whole,
            })
        }
    }
}

fn count(blobs: &mut BTreeMap<Digest, u64>, image: &Image) {
    let described = std::iter::once(&image.config).chain(&image.layers);
    blobs.extend(described.map(|blob| (blob.digest.clone(), blob.size)));
}

/// The platform in an image's configuration (image-spec, config.md), if it is one.
async fn platform(
    storage: &dyn Storage,
    repository: &RepositoryName,
    image: &Image,
) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    struct Config {
        os: String,
        architecture: String,
        variant: Option<String>,
    }
    if image.config.size > MOST_CONFIG_BYTES {
        return Ok(None);
    }
    let Ok(blob) = storage.blob_open(repository, &image.config.digest, Part::Whole).await else {
        return Ok(None);
    };
    if blob.size > MOST_CONFIG_BYTES {
        return Ok(None);
    }
    let Ok(parts) = blob.bytes.try_collect::<Vec<_>>().await else { return Ok(None) };
    let Ok(config) = serde_json::from_slice::<Config>(&parts.concat()) else { return Ok(None) };
    let variant = config.variant.filter(|variant| !variant.is_empty());
    let variant = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
    Ok(Some(format!("{}/{}{variant}", config.os, config.architecture)))
}
