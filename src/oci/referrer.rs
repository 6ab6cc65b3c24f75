use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Content, Digest, Error, Manifest, media_type};

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

/// The index that lists these manifests beside those that `list` has already, under the tag of their
/// subject (distribution-spec, "Pushing Manifests with Subject"). `None` if they are all in it.
///
/// # Errors
/// `list` is no index, or would get larger than a manifest may be.
pub fn referrers_index(
    list: Option<&Manifest>,
    manifests: &[Manifest],
) -> Result<Option<Manifest>, Error> {
    let strange = || Error::Manifest {
        reason: "it should be an OCI index that lists referrers, and is left as it is".to_owned(),
    };
    let mut document = match list {
        None => json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [] }),
        Some(list) if list.media_type() == media_type::OCI_INDEX => {
            serde_json::from_slice(list.bytes()).map_err(|_| strange())?
        }
        Some(_) => return Err(strange()),
    };
    let entries = document.get_mut("manifests").and_then(Value::as_array_mut);
    let entries = entries.ok_or_else(strange)?;
    let digest = |entry: &Value| entry.get("digest").and_then(Value::as_str).map(str::to_owned);
    let mut listed: HashSet<String> = entries.iter().filter_map(digest).collect();
    let before = entries.len();
    for manifest in manifests {
        let descriptor = manifest.referrer(manifest.digest());
        let descriptor = descriptor.and_then(|(_, json)| serde_json::from_slice(&json).ok());
        if let Some(descriptor) = descriptor
            && listed.insert(manifest.digest().as_str().to_owned())
        {
            entries.push(descriptor);
        }
    }
    if entries.len() == before {
        return Ok(None);
    }
    Manifest::parse(document.to_string().into(), Some(media_type::OCI_INDEX)).map(Some)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn referrer(kind: &str, subject: &Digest) -> Manifest {
        let empty = json!({ "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": Digest::sha256(b"{}"), "size": 2 });
        let subject =
            json!({ "mediaType": media_type::OCI_MANIFEST, "digest": subject, "size": 1 });
        let text = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "artifactType": kind, "config": empty, "layers": [], "subject": subject,
            "annotations": { "kind": kind } });
        Manifest::parse(text.to_string().into(), None).unwrap()
    }

    #[test]
    fn what_is_no_index_is_not_written_over() {
        let subject = Digest::sha256(b"x");
        let image = referrer("a", &subject);
        assert!(referrers_index(Some(&image), std::slice::from_ref(&image)).is_err());
    }

    #[test]
    fn referrers_join_those_that_are_listed_and_nothing_else_changes() {
        let subject = Digest::sha256(b"x");
        let (first, second) = (referrer("a", &subject), referrer("b", &subject));
        let one = referrers_index(None, std::slice::from_ref(&first)).unwrap().unwrap();
        let text = String::from_utf8(one.bytes().to_vec()).unwrap();
        let odd = text.replacen('{', r#"{"annotations":{"of":"others"},"#, 1);
        let odd = Manifest::parse(odd.into(), None).unwrap();
        let both = referrers_index(Some(&odd), &[first.clone(), second.clone()]).unwrap().unwrap();
        let read: Value = serde_json::from_slice(both.bytes()).unwrap();
        assert_eq!(read["annotations"]["of"], "others");
        let listed = read["manifests"].as_array().unwrap();
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[1]["digest"], second.digest().as_str());
        assert_eq!(listed[1]["artifactType"], "b");
        assert_eq!(listed[1]["annotations"]["kind"], "b");
        assert!(referrers_index(Some(&both), &[first, second]).unwrap().is_none());
    }

    #[test]
    fn a_list_does_not_grow_past_what_a_manifest_may_be() {
        let subject = Digest::sha256(b"x");
        let large = referrer(&"k".repeat(super::super::MAX_MANIFEST_BYTES / 3), &subject);
        assert!(referrers_index(None, std::slice::from_ref(&large)).is_ok());
        let other = referrer(&"l".repeat(super::super::MAX_MANIFEST_BYTES / 3), &subject);
        assert!(referrers_index(None, &[large, other]).is_err());
    }
}
