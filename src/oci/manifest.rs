use std::collections::BTreeMap;

use bytes::Bytes;
use oci_distribution::manifest::{ImageIndexEntry, OciDescriptor, OciImageManifest};
use serde::Deserialize;

use super::text::printable;
use super::{Descriptor, Digest, Error, Platform, media_type};

/// The largest manifest that is read or stored, in bytes (distribution-spec, "Pushing Manifests",
/// names 4 MiB as what registries should at least take).
pub const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// A manifest or index: its exact bytes, which are never re-encoded, and what they say.
#[derive(Debug, Clone)]
pub struct Manifest {
    bytes: Bytes,
    media_type: String,
    digest: Digest,
    content: Content,
}

/// What a manifest says.
#[derive(Debug, Clone)]
pub enum Content {
    /// One image or artifact: config and layers are blobs.
    Image(Image),
    /// A list of manifests.
    Index(Index),
}

/// An image manifest (image-spec, manifest.md; Docker's manifest v2.2 has the same shape).
#[derive(Debug, Clone)]
pub struct Image {
    /// The configuration blob.
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
    /// The manifest this one is attached to, if any.
    pub subject: Option<Descriptor>,
    /// Type of the artifact; the referrers list falls back to the config's media type.
    pub artifact_type: Option<String>,
    /// Free annotations.
    pub annotations: BTreeMap<String, String>,
}

/// An image index (image-spec, image-index.md; Docker's manifest list has the same shape).
#[derive(Debug, Clone)]
pub struct Index {
    /// The manifests listed.
    pub manifests: Vec<Descriptor>,
    /// The manifest this one is attached to, if any.
    pub subject: Option<Descriptor>,
    /// Type of the artifact.
    pub artifact_type: Option<String>,
    /// Free annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads `bytes`, which came with this `Content-Type` (parameters are ignored).
    ///
    /// # Errors
    /// Refuses what is larger than [`MAX_MANIFEST_BYTES`], is not UTF-8 (RFC 8259, section 8.1), is not
    /// one of the four manifest types, or names another type inside than outside.
    pub fn parse(bytes: Bytes, content_type: Option<&str>) -> Result<Self, Error> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(invalid(format!("it has {} bytes, more than 4 MiB", bytes.len())));
        }
        // The reader of JSON does not look into texts that it skips.
        std::str::from_utf8(&bytes).map_err(invalid)?;
        let head: Head = from_json(&bytes)?;
        let media_type = head.media_type(content_type).map_err(invalid)?;
        let content = if media_type::is_index(&media_type) {
            Content::Index(Index::parse(&bytes)?)
        } else {
            Content::Image(Image::parse(&bytes)?)
        };
        Ok(Self { digest: Digest::sha256(&bytes), bytes, media_type, content })
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// One of the four manifest types.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The SHA-256 digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What the bytes say.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The blobs an image needs in its repository: config first, non-distributable layers left out.
    /// None for an index.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let image = match &self.content {
            Content::Image(image) => Some(image),
            Content::Index(_) => None,
        };
        image
            .into_iter()
            .flat_map(|image| std::iter::once(&image.config).chain(&image.layers))
            .filter(|blob| !blob.is_non_distributable())
    }

    /// The manifests an index lists. None for an image.
    #[must_use]
    pub fn children(&self) -> &[Descriptor] {
        match &self.content {
            Content::Image(_) => &[],
            Content::Index(index) => &index.manifests,
        }
    }

    /// The manifest this one is attached to, if any.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match &self.content {
            Content::Image(image) => image.subject.as_ref(),
            Content::Index(index) => index.subject.as_ref(),
        }
    }

    /// The platforms an index names, in its order; attestations (`unknown/unknown`) are left out.
    #[must_use]
    pub fn platforms(&self) -> Vec<Platform> {
        let named = self.children().iter().filter_map(|child| child.platform.clone());
        named.filter(|platform| platform.os != "unknown").collect()
    }
}

/// What tells the kinds of manifest apart.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    schema_version: u64,
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
}

impl Head {
    fn media_type(self, content_type: Option<&str>) -> Result<String, String> {
        if self.schema_version != 2 {
            return Err(format!("schemaVersion is {}, only 2 is carried", self.schema_version));
        }
        let outside = content_type
            .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
            .filter(|value| !value.is_empty());
        let media_type = match (outside, self.media_type) {
            (Some(outside), Some(inside)) if outside != inside => {
                return Err(format!("Content-Type is `{outside}`, mediaType inside is `{inside}`"));
            }
            (_, Some(inside)) => inside,
            (Some(outside), None) => outside,
            (None, None) if self.manifests.is_some() => media_type::OCI_INDEX.to_owned(),
            (None, None) => media_type::OCI_MANIFEST.to_owned(),
        };
        if !media_type::is_manifest(&media_type) {
            return Err(format!("`{media_type}` is not a manifest type this program carries"));
        }
        match (media_type::is_index(&media_type), self.config, self.manifests) {
            (true, None, Some(_)) | (false, Some(_), None) => Ok(media_type),
            (true, ..) => Err("an index needs `manifests` and has no `config`".to_owned()),
            (false, ..) => Err("an image needs `config` and has no `manifests`".to_owned()),
        }
    }
}

impl Image {
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let document: OciImageManifest = from_json(bytes)?;
        Ok(Self {
            config: document.config.try_into()?,
            layers: document.layers.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            subject: document.subject.map(TryInto::try_into).transpose()?,
            artifact_type: document.artifact_type,
            annotations: document.annotations.unwrap_or_default(),
        })
    }
}

/// An index with the `subject` that oci-client's type leaves out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexDocument {
    manifests: Vec<ImageIndexEntry>,
    subject: Option<OciDescriptor>,
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Index {
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let document: IndexDocument = from_json(bytes)?;
        let manifests = document.manifests.into_iter().map(TryInto::try_into);
        Ok(Self {
            manifests: manifests.collect::<Result<_, _>>()?,
            subject: document.subject.map(TryInto::try_into).transpose()?,
            artifact_type: document.artifact_type,
            annotations: document.annotations.unwrap_or_default(),
        })
    }
}

fn from_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(invalid)
}

/// The reason may repeat what stands in the manifest.
fn invalid(reason: impl ToString) -> Error {
    Error::Manifest { reason: printable(&reason.to_string(), 300) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn image() -> String {
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/x","digest":"{D}","size":0}},"layers":[
                {{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{D}","size":3}},
                {{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","digest":"{D}","size":3}}]}}"#
        )
    }

    fn parse(text: &str, content_type: Option<&str>) -> Result<Manifest, Error> {
        Manifest::parse(Bytes::copy_from_slice(text.as_bytes()), content_type)
    }

    #[test]
    fn refuses_what_is_no_manifest() {
        for (text, content_type) in [
            ("", None),
            ("{}", None),
            ("[]", None),
            (r#"{"schemaVersion":1,"config":{}}"#, None),
            (r#"{"schemaVersion":2}"#, None),
            (r#"{"schemaVersion":2,"manifests":[],"config":{}}"#, None),
            (r#"{"schemaVersion":2,"manifests":[]}"#, Some(media_type::OCI_MANIFEST)),
            (r#"{"schemaVersion":2,"manifests":[]}"#, Some("text/plain")),
            (r#"{"schemaVersion":2,"manifests":[{"mediaType":"m","digest":"x","size":1}]}"#, None),
            (image().replace("\"size\":3", "\"size\":-3").as_str(), None),
            (&"[".repeat(100_000), None),
        ] {
            assert!(parse(text, content_type).is_err(), "{text:.60}");
        }
        assert!(parse(&" ".repeat(MAX_MANIFEST_BYTES + 1), None).is_err());
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_refused_where_nobody_reads_them_too() {
        let with = |odd: &[u8]| {
            let odd = [br#"{"odd":""#, odd, br#"","#].concat();
            let bytes = [&odd, &image().as_bytes()[1..]].concat();
            Manifest::parse(bytes.into(), None)
        };
        assert!(with(b"\xff").is_err());
        assert!(with("é".as_bytes()).is_ok());
    }

    #[test]
    fn a_content_type_unlike_the_media_type_inside_is_refused() {
        let text =
            image().replacen('{', &format!(r#"{{"mediaType":"{}","#, media_type::OCI_MANIFEST), 1);
        assert!(parse(&text, Some(media_type::OCI_MANIFEST)).is_ok());
        assert!(parse(&text, Some(media_type::DOCKER_MANIFEST)).is_err());
    }

    #[test]
    fn blobs_are_config_and_layers_without_non_distributable_ones() {
        let manifest =
            parse(&image(), Some("application/vnd.oci.image.manifest.v1+json; a=b")).unwrap();
        assert_eq!(manifest.media_type(), media_type::OCI_MANIFEST);
        let sizes: Vec<u64> = manifest.blobs().map(|blob| blob.size).collect();
        assert_eq!(sizes, [0, 3]);
        assert!(manifest.children().is_empty());
    }

    #[test]
    fn an_index_names_its_platforms_but_not_its_attestations() {
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[
            {{"mediaType":"m","digest":"{D}","size":1,"platform":{{"os":"linux","architecture":"arm","variant":"v7"}}}},
            {{"mediaType":"m","digest":"{D}","size":1,"platform":{{"os":"unknown","architecture":"unknown"}}}}],
            "subject":{{"mediaType":"m","digest":"{D}","size":1}}}}"#
        );
        let manifest = parse(&text, None).unwrap();
        let platforms: Vec<String> = manifest.platforms().iter().map(ToString::to_string).collect();
        assert_eq!(platforms, ["linux/arm/v7"]);
        assert!(manifest.subject().is_some());
        assert_eq!(manifest.media_type(), media_type::OCI_INDEX);
    }
}
