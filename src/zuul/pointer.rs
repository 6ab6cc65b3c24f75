use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{Error, Origin};
use crate::oci::{Digest, Registry, RepositoryName, Tag};

/// What `pull --lazy` leaves in the buildset registry: this name and tag is that digest in the
/// intermediate registry. It carries no site password: the token is for pulling this one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// The name the buildset knows the image by; the canonical one.
    #[serde(deserialize_with = "canonical")]
    pub name: RepositoryName,
    /// Its tag there.
    pub tag: Tag,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Size of its manifest in bytes.
    pub size: u64,
    /// Where it is.
    pub url: PointerUrl,
    /// What is shown there; without one the image is pulled anonymously.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<PullToken>,
    /// When the token expires, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// PEM of the authority to be trusted there, beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// Which build it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// `https://HOST[:PORT]/v2/REPOSITORY`: a repository of a registry. `http` only where the pull was told
/// to speak it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PointerUrl {
    registry: Registry,
    repository: RepositoryName,
    plain: bool,
}

/// A token for one image. It is never shown: not by `Debug`, not in errors, not in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PullToken(String);

impl Pointer {
    /// The same without what is nobody else's business, for lists.
    #[must_use]
    pub fn without_token(mut self) -> Self {
        self.token = None;
        self
    }
}

impl PointerUrl {
    /// The repository `repository` of `registry`, spoken to without TLS where `plain`.
    #[must_use]
    pub fn new(registry: Registry, repository: RepositoryName, plain: bool) -> Self {
        Self { registry, repository, plain }
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The repository there.
    #[must_use]
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// Whether the registry is spoken to without TLS.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plain
    }
}

impl PullToken {
    const MAX_BYTES: usize = 16 * 1024;

    /// The token itself, for the one place that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

fn canonical<'de, D: serde::Deserializer<'de>>(from: D) -> Result<RepositoryName, D::Error> {
    RepositoryName::deserialize(from).map(|name| name.canonical())
}

impl FromStr for PointerUrl {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let wrong = |reason: &dyn fmt::Display| Error::value(value, reason);
        let url = Url::parse(value).map_err(|error| wrong(&error))?;
        let plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err(wrong(&"a pointer's url starts with https://")),
        };
        let more = url.query().is_some() || url.fragment().is_some();
        if more || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(&"a pointer's url has no login, query or fragment"));
        }
        let host = url.host_str().ok_or_else(|| wrong(&"it names no host"))?;
        let registry = Registry::new(host, url.port()).map_err(|error| wrong(&error))?;
        let path = url.path().strip_prefix("/v2/");
        let path = path.ok_or_else(|| wrong(&"its path is not /v2/REPOSITORY"))?;
        let repository = path.parse().map_err(|error| wrong(&error))?;
        Ok(Self { registry, repository, plain })
    }
}

impl fmt::Display for PointerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.plain { "http" } else { "https" };
        write!(f, "{scheme}://{}/v2/{}", self.registry, self.repository)
    }
}

impl TryFrom<String> for PointerUrl {
    type Error = Error;

    fn try_from(value: String) -> Result<Self, Error> {
        value.parse()
    }
}

impl From<PointerUrl> for String {
    fn from(url: PointerUrl) -> Self {
        url.to_string()
    }
}

impl TryFrom<String> for PullToken {
    type Error = Error;

    fn try_from(value: String) -> Result<Self, Error> {
        let fits = !value.is_empty() && value.len() <= Self::MAX_BYTES;
        if fits && value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(value));
        }
        Err(Error::value("token", "it cannot stand in a header"))
    }
}

impl From<PullToken> for String {
    fn from(token: PullToken) -> Self {
        token.0
    }
}

impl fmt::Debug for PullToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn document() -> Value {
        json!({"name": "docker.io/library/x", "tag": "1", "digest": Digest::sha256(b"x"), "size": 1,
               "url": "https://inter.example:5000/v2/docker.io/x", "token": "hush"})
    }

    #[test]
    fn what_points_nowhere_is_refused() {
        for url in [
            "",
            "inter.example/x",
            "ftp://inter.example/v2/x",
            "docker://inter.example/x:1",
            "https://inter.example/x",
            "https://inter.example/v2/",
            "https://inter.example/v2/X",
            "https://inter.example/v2/a%2Fb",
            "https://u:p@inter.example/v2/x",
            "https://inter.example/v2/x?ns=1",
            "https://inter.example/v2/x#1",
            "https:///v2/x",
        ] {
            assert!(url.parse::<PointerUrl>().is_err(), "{url}");
        }
        for (key, value) in [("token", json!("a b")), ("token", json!("")), ("more", json!(1))] {
            let mut wrong = document();
            wrong[key] = value;
            assert!(serde_json::from_value::<Pointer>(wrong).is_err(), "{key}");
        }
    }

    #[test]
    fn a_token_is_kept_but_never_shown() {
        let pointer: Pointer = serde_json::from_value(document()).unwrap();
        assert_eq!(pointer.name.as_str(), "x");
        assert_eq!(pointer.url.to_string(), "https://inter.example:5000/v2/docker.io/x");
        assert!(!format!("{pointer:?}").contains("hush"));
        assert_eq!(serde_json::to_value(&pointer).unwrap()["token"], "hush");
        assert!(!serde_json::to_string(&pointer.without_token()).unwrap().contains("hush"));
    }

    #[test]
    fn every_place_is_written_as_it_is_read() {
        for url in ["https://[2001:db8::1]:5000/v2/quay.io/a/b", "http://127.0.0.1:5000/v2/a"] {
            assert_eq!(url.parse::<PointerUrl>().unwrap().to_string(), url);
        }
        assert!("http://a.example/v2/x".parse::<PointerUrl>().unwrap().is_plain());
    }
}
