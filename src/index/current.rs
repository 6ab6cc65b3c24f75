use std::collections::BTreeSet;

use jiff::Timestamp;

use super::input::read_all;
use crate::client::{self, Repository};
use crate::oci::{Content, Descriptor, Digest, ImageConfig, Manifest, Platform, Reference};

/// Members of an index whose configurations are read.
const MAX_MEMBERS: usize = 50;

/// What a tag holds that is to hold the index.
pub(super) struct Current {
    pub(super) digest: Digest,
    /// The images by platform; of a plain image itself. Attestations are none.
    pub(super) images: Vec<Descriptor>,
    /// When the newest of them was built.
    pub(super) created: Option<Timestamp>,
}

impl Current {
    /// Reads what stands under a digest, with the configurations of its images.
    pub(super) async fn read(
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Self>, client::Error> {
        let Some(root) = repository.manifest(&Reference::Digest(digest.clone())).await? else {
            return Ok(None);
        };
        let digest = digest.clone();
        let listed = match root.content() {
            Content::Index(index) => &index.manifests,
            Content::Image(_) => {
                let config = configuration(repository, &root).await?;
                let created = config.as_ref().and_then(|config| config.created);
                let images = config.map(|config| described(&root, config.platform));
                return Ok(Some(Self { digest, images: images.into_iter().collect(), created }));
            }
        };
        let images: Vec<Descriptor> = listed
            .iter()
            .filter(|it| it.platform.as_ref().is_some_and(|platform| platform.os != "unknown"))
            .cloned()
            .collect();
        let mut created = None;
        for image in images.iter().filter(|it| it.is_manifest()).take(MAX_MEMBERS) {
            let reference = Reference::Digest(image.digest.clone());
            // One that is gone says nothing.
            if let Some(image) = repository.manifest(&reference).await? {
                let config = configuration(repository, &image).await?;
                created = created.max(config.and_then(|config| config.created));
            }
        }
        Ok(Some(Self { digest, images, created }))
    }

    /// The platforms, each in its usual spelling.
    pub(super) fn platforms(&self) -> BTreeSet<Platform> {
        let named = self.images.iter().filter_map(|image| image.platform.clone());
        named.map(Platform::usual).collect()
    }
}

async fn configuration(
    repository: &Repository,
    image: &Manifest,
) -> Result<Option<ImageConfig>, client::Error> {
    match image.content() {
        Content::Image(image) if image.config.size <= ImageConfig::MAX_BYTES => {
            let bytes = match read_all(repository.blob(&image.config)).await {
                Err(error) if error.is_not_found() => return Ok(None),
                read => read?,
            };
            Ok(ImageConfig::parse(&bytes))
        }
        _ => Ok(None),
    }
}

fn described(image: &Manifest, platform: Platform) -> Descriptor {
    Descriptor {
        media_type: image.media_type().to_owned(),
        digest: image.digest().clone(),
        size: image.bytes().len() as u64,
        platform: Some(platform),
        artifact_type: None,
        annotations: Default::default(),
    }
}
