use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use super::{Content, Digest, Manifest};

/// What the referrers of its subject say of a manifest (distribution-spec, "Listing Referrers").
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferrerDescriptor<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

impl Manifest {
    /// Its subject, and the descriptor (JSON) it has among the referrers of that, under this digest of
    /// its own.
    #[must_use]
    pub fn referrer(&self, digest: &Digest) -> Option<(Digest, Bytes)> {
        let subject = self.subject()?;
        let (artifact_type, annotations) = match self.content() {
            Content::Image(image) => {
                let named = image.artifact_type.as_deref().filter(|named| !named.is_empty());
                (named.or(Some(&image.config.media_type)), &image.annotations)
            }
            Content::Index(index) => (index.artifact_type.as_deref(), &index.annotations),
        };
        let descriptor = ReferrerDescriptor {
            media_type: self.media_type(),
            digest,
            size: self.bytes().len(),
            artifact_type,
            annotations,
        };
        let descriptor = serde_json::to_vec(&descriptor).ok()?;
        Some((subject.digest.clone(), descriptor.into()))
    }
}
