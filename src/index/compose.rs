use std::collections::BTreeMap;

use serde::Serialize;

use super::Error;
use crate::oci::{Descriptor, Digest, Manifest, Platform, media_type};

/// The index over these images, of the type that goes with theirs. The order in which they come does not
/// matter: the same images make the same bytes.
pub(super) fn index<'a>(
    images: impl Iterator<Item = &'a Descriptor>,
    annotations: &BTreeMap<String, String>,
) -> Result<Manifest, Error> {
    let mut manifests: Vec<Entry<'a>> =
        images.filter_map(|image| Some(Entry::new(image, image.platform.as_ref()?))).collect();
    manifests.sort_by_key(|entry| {
        let Listed { os, architecture, variant } = entry.platform;
        (os, architecture, variant)
    });
    let media_type = media_type_over(&manifests)?;
    if media_type == media_type::DOCKER_LIST && !annotations.is_empty() {
        return Err(Error::Annotations);
    }
    let document = Document { schema_version: 2, media_type, manifests, annotations };
    let bytes = serde_json::to_vec(&document).map_err(|error| Error::Index(error.to_string()))?;
    let index = Manifest::parse(bytes.into(), Some(media_type));
    index.map_err(|error| Error::Index(error.to_string()))
}

/// Registries refuse an index over images of both kinds, some of them only after its images were sent.
fn media_type_over(manifests: &[Entry<'_>]) -> Result<&'static str, Error> {
    let is_docker = |entry: &&Entry<'_>| entry.media_type == media_type::DOCKER_MANIFEST;
    match manifests.iter().filter(is_docker).count() {
        0 => Ok(media_type::OCI_INDEX),
        all if all == manifests.len() => Ok(media_type::DOCKER_LIST),
        _ => {
            let named = manifests.iter().map(|entry| {
                let Listed { os, architecture, .. } = entry.platform;
                format!("{os}/{architecture} is `{}`", entry.media_type)
            });
            Err(Error::Mixed(named.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// image-spec, image-index.md.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: u64,
    platform: Listed<'a>,
}

#[derive(Serialize, Clone, Copy)]
struct Listed<'a> {
    architecture: &'a str,
    os: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
}

impl<'a> Entry<'a> {
    fn new(image: &'a Descriptor, platform: &'a Platform) -> Self {
        let Platform { os, architecture, variant } = platform;
        let platform = Listed { architecture, os, variant: variant.as_deref() };
        Self { media_type: &image.media_type, digest: &image.digest, size: image.size, platform }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn image(media_type: &str, platform: &str) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::sha256(platform.as_bytes()),
            size: 7,
            platform: Some(platform.parse().unwrap()),
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn images_of_both_kinds_make_no_index() {
        let images = [
            image(media_type::OCI_MANIFEST, "linux/amd64"),
            image(media_type::DOCKER_MANIFEST, "linux/arm64"),
        ];
        let error = index(images.iter(), &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains("mixed media types") && error.contains("linux/arm64"), "{error}");
    }

    #[test]
    fn a_list_of_dockers_has_no_annotations() {
        let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let images = [image(media_type::DOCKER_MANIFEST, "linux/arm64")];
        assert!(matches!(index(images.iter(), &annotations), Err(Error::Annotations)));
        let list = index(images.iter(), &BTreeMap::new()).unwrap();
        assert_eq!(list.media_type(), media_type::DOCKER_LIST);
    }

    #[test]
    fn the_same_images_make_the_same_bytes_in_whatever_order_they_come() {
        let mut images = ["linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64"]
            .map(|platform| image(media_type::OCI_MANIFEST, platform));
        let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let one = index(images.iter(), &annotations).unwrap();
        images.reverse();
        assert_eq!(index(images.iter(), &annotations).unwrap().digest(), one.digest());
        assert_eq!(one.media_type(), media_type::OCI_INDEX);
        let platforms: Vec<String> = one.platforms().iter().map(ToString::to_string).collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64"]);
    }
}
