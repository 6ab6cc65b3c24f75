use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use oci_distribution::manifest::{ImageIndexEntry, OciDescriptor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Digest, Error, media_type};

/// Points at content: its type, digest and size in bytes (image-spec, descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// IANA media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size of the content in bytes.
    pub size: u64,
    /// On index entries: what the image runs on.
    pub platform: Option<Platform>,
    /// Type of the artifact, where the content is one.
    pub artifact_type: Option<String>,
    /// Free annotations.
    pub annotations: BTreeMap<String, String>,
}

/// `os/architecture[/variant]`, as `--platform` options spell it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct Platform {
    /// GOOS, e.g. `linux`.
    pub os: String,
    /// GOARCH, e.g. `arm64`.
    pub architecture: String,
    /// CPU variant, e.g. `v7`.
    pub variant: Option<String>,
}

impl Platform {
    /// The same however it is spelled: the variant that everybody means is named by some tools and left away
    /// by others.
    #[must_use]
    pub fn usual(mut self) -> Self {
        self.variant = match (self.architecture.as_str(), self.variant.take()) {
            ("arm64", Some(variant)) if variant == "v8" => None,
            ("amd64", Some(variant)) if variant == "v1" => None,
            ("arm", None) => Some("v7".to_owned()),
            (_, variant) => variant,
        };
        self
    }
}

impl Descriptor {
    /// A descriptor as it stands in an index.
    ///
    /// # Errors
    /// It lacks type, digest or size, or one of them cannot be.
    pub fn from_json(value: &Value) -> Result<Self, Error> {
        let entry = ImageIndexEntry::deserialize(value);
        let entry = entry.map_err(|error| Error::Manifest { reason: error.to_string() })?;
        entry.try_into()
    }

    /// Whether the content lives outside registries and is not carried along.
    #[must_use]
    pub fn is_non_distributable(&self) -> bool {
        media_type::is_non_distributable(&self.media_type)
    }

    /// Whether the content is a manifest or an index rather than a blob.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        media_type::is_manifest(&self.media_type)
    }

    /// Whether the content lists manifests.
    #[must_use]
    pub fn is_index(&self) -> bool {
        media_type::is_index(&self.media_type)
    }
}

impl TryFrom<OciDescriptor> for Descriptor {
    type Error = Error;

    fn try_from(document: OciDescriptor) -> Result<Self, Error> {
        Ok(Self {
            digest: document.digest.parse()?,
            size: size(document.size)?,
            media_type: document.media_type,
            platform: None,
            artifact_type: document.artifact_type,
            annotations: document.annotations.unwrap_or_default(),
        })
    }
}

impl TryFrom<ImageIndexEntry> for Descriptor {
    type Error = Error;

    fn try_from(document: ImageIndexEntry) -> Result<Self, Error> {
        Ok(Self {
            digest: document.digest.parse()?,
            size: size(document.size)?,
            media_type: document.media_type,
            platform: document.platform.map(|platform| Platform {
                os: platform.os.to_string(),
                architecture: platform.architecture.to_string(),
                variant: platform.variant.filter(|variant| !variant.is_empty()),
            }),
            artifact_type: document.artifact_type,
            annotations: document.annotations.unwrap_or_default(),
        })
    }
}

fn size(size: i64) -> Result<u64, Error> {
    u64::try_from(size)
        .map_err(|_| Error::Manifest { reason: format!("a descriptor has the size {size}") })
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let mut parts = value.split('/').map(str::to_owned);
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        match (os, architecture, parts.next()) {
            (Some(os), Some(architecture), None)
                if !os.is_empty() && !architecture.is_empty() && variant.as_deref() != Some("") =>
            {
                Ok(Self { os, architecture, variant })
            }
            _ => Err(Error::Platform { value: super::name::excerpt(value) }),
        }
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_platform_is_one_however_its_usual_variant_is_spelled() {
        let usual = |text: &str| text.parse::<Platform>().unwrap().usual();
        for (one, other) in [
            ("linux/arm64", "linux/arm64/v8"),
            ("linux/amd64", "linux/amd64/v1"),
            ("linux/arm", "linux/arm/v7"),
        ] {
            assert_eq!(usual(one), usual(other));
        }
        for (one, other) in [("linux/arm/v6", "linux/arm/v7"), ("linux/amd64/v3", "linux/amd64")] {
            assert_ne!(usual(one), usual(other));
        }
    }
}
