use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use serde::Deserialize;

use super::{Credentials, Error};
use crate::oci::Registry;

/// What one auth file says (containers-auth.json(5), docker's config.json).
#[derive(Debug, Clone, Default)]
pub(super) struct AuthFile {
    /// By `HOST[:PORT][/PREFIX]`, see [`key`].
    pub(super) entries: BTreeMap<String, Credentials>,
    /// Helpers by `HOST[:PORT]`.
    pub(super) helpers: BTreeMap<String, String>,
    /// The helper for all other registries.
    pub(super) store: Option<String>,
}

impl AuthFile {
    /// Reads a file; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let unusable =
            |reason: String| Error::AuthFile { path: path.display().to_string(), reason };
        match std::fs::read(path) {
            Ok(bytes) => Self::parse(&bytes).map(Some).map_err(unusable),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(error.to_string())),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        // The words of serde_json quote what they stumble over, which may be a password.
        let document: Document = serde_json::from_slice(bytes).map_err(|error| {
            format!(
                "line {} column {} is not what such a file has there",
                error.line(),
                error.column()
            )
        })?;
        let mut file = Self {
            store: document.creds_store.filter(|helper| !helper.is_empty()),
            ..Self::default()
        };
        for (name, helper) in document.cred_helpers {
            if let Some(key) = written_key(&name) {
                file.helpers.insert(key, helper);
            }
        }
        for (name, entry) in document.auths {
            let credentials = entry
                .credentials()
                .map_err(|reason| format!("the entry of `{}` {reason}", name.escape_debug()))?;
            if let (Some(key), Some(credentials)) = (written_key(&name), credentials) {
                file.entries.insert(key, credentials);
            }
        }
        Ok(file)
    }
}

/// The one spelling of a registry in keys: no port where it is 443, all names of Docker Hub are one.
pub(super) fn key(registry: &Registry) -> String {
    if registry.is_docker_hub() {
        return Registry::docker_hub().to_string();
    }
    let text = registry.to_string();
    text.strip_suffix(":443").map(str::to_owned).unwrap_or(text)
}

/// The key of an entry as files spell it: `HOST[:PORT][/PREFIX]`, or a URL as old dockers wrote,
/// of which only the host counts. `None` if it names no registry.
fn written_key(name: &str) -> Option<String> {
    let url = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://"));
    let (host, prefix) = match url {
        Some(rest) => (rest.split('/').next().unwrap_or_default(), ""),
        None => name.split_once('/').unwrap_or((name, "")),
    };
    let key = key(&host.parse().ok()?);
    let prefix = prefix.trim_matches('/');
    // `index.docker.io/v1/` without a scheme is written by some tools, too.
    if prefix.is_empty() || (matches!(prefix, "v1" | "v2") && key == "docker.io") {
        return Some(key);
    }
    Some(format!("{key}/{prefix}"))
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    identitytoken: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Entry {
    fn credentials(self) -> Result<Option<Credentials>, &'static str> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = given(self.identitytoken) {
            return Ok(Some(Credentials::from_identity_token(token)));
        }
        if let Some(auth) = given(self.auth) {
            return decode(&auth).map(Some);
        }
        let username = given(self.username);
        let password = given(self.password);
        Ok(username.zip(password).map(|(name, password)| Credentials::new(name, password)))
    }
}

fn decode(auth: &str) -> Result<Credentials, &'static str> {
    let lenient = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let bytes = lenient.decode(auth.trim()).map_err(|_| "has an `auth` that is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "has an `auth` that is not UTF-8")?;
    let (name, password) =
        text.split_once(':').ok_or("has an `auth` without a `:` between user and password")?;
    // docker used to pad with NUL.
    Ok(Credentials::new(name, password.trim_matches('\0')))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_error_names_the_place_and_not_the_secret() {
        for text in [
            r#"{"auths":{"quay.io":{"auth":["hunter2"]}}}"#,
            r#"{"auths":{"quay.io":"hunter2"}}"#,
            r#"{"auths":{"quay.io":{"auth":"hunter2!"}}}"#,
            r#"{"auths":{"quay.io":{"auth":"aHVudGVyMg=="}}}"#,
            "hunter2",
        ] {
            let reason = AuthFile::parse(text.as_bytes()).unwrap_err();
            assert!(!reason.contains("hunter2"), "{reason}");
            assert!(reason.contains("column") || reason.contains("quay.io"), "{reason}");
        }
    }

    #[test]
    fn reads_what_docker_and_podman_write() {
        let text = r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"enV1bDphOmI="},
            "quay.io/org/repo":{"auth":"enV1bDphOmI"},
            "[::1]:5000":{"username":"u","password":"p"},
            "h.example:443":{"identitytoken":"t"},
            "kept.elsewhere":{}},
            "credHelpers":{"gcr.io":"gcloud"},"credsStore":"desktop","HttpHeaders":{}}"#;
        let file = AuthFile::parse(text.as_bytes()).unwrap();
        let keys: Vec<&str> = file.entries.keys().map(String::as_str).collect();
        assert_eq!(keys, ["[::1]:5000", "docker.io", "h.example", "quay.io/org/repo"]);
        let hub = file.entries.get("docker.io").unwrap();
        assert_eq!((hub.username.as_str(), hub.password.reveal()), ("zuul", "a:b"));
        assert!(file.entries.get("h.example").unwrap().identity_token().is_some());
        assert_eq!(file.helpers.get("gcr.io").map(String::as_str), Some("gcloud"));
        assert_eq!(file.store.as_deref(), Some("desktop"));
    }
}
