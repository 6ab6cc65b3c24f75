use jiff::Timestamp;
use serde::Deserialize;

use super::Platform;

/// What the configuration of an image says that matters here (image-spec, config.md, "Properties").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// What it runs on.
    pub platform: Platform,
    /// When it was built, where that is said.
    pub created: Option<Timestamp>,
}

impl ImageConfig {
    /// Configurations are a few kilobytes.
    pub const MAX_BYTES: u64 = 1024 * 1024;

    /// Reads a configuration; `None` for those of artifacts, which name no platform.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let Document { os, architecture, variant, created } = serde_json::from_slice(bytes).ok()?;
        let variant = variant.filter(|variant| !variant.is_empty());
        let created = created.and_then(|created| created.parse().ok());
        Some(Self { platform: Platform { os, architecture, variant }, created })
    }
}

#[derive(Deserialize)]
struct Document {
    os: String,
    architecture: String,
    variant: Option<String>,
    created: Option<String>,
}
