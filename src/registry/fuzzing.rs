//! A door for the fuzz targets alone: what the registry reads, and what must be true of it.
#![allow(clippy::expect_used, clippy::panic, missing_docs)]

use std::time::SystemTime;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::endpoints::{blobs, uploads};
use super::route::{Resource, Route};
use super::users::Signer;
use super::users::{caller, htpasswd, rules};
use super::watch::record;
use super::{config, names};
use crate::auth::{Challenge, Scope};
use crate::oci::RepositoryName;

/// The parts of a route make the same route again.
pub fn route(path: &str) {
    let Ok(route) = Route::parse(path) else { return };
    assert!(!route.label().is_empty());
    let Route::Repository(name, resource) = &route else { return };
    let end = match resource {
        Resource::Manifest(reference) => format!("manifests/{reference}"),
        Resource::Blob(digest) => format!("blobs/{digest}"),
        Resource::Uploads => "blobs/uploads/".to_owned(),
        Resource::Upload(id) => format!("blobs/uploads/{id}"),
        Resource::Tags => "tags/list".to_owned(),
        Resource::Referrers(digest) => format!("referrers/{digest}"),
        #[allow(unreachable_patterns)]
        _ => return,
    };
    let plain = format!("/v2/{name}/{end}");
    assert_eq!(Route::parse(&plain).expect("it was one before"), route, "{plain}");
    let encoded: String = plain
        .bytes()
        .map(|byte| match byte {
            b'/' | b'a'..=b'z' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    assert_eq!(Route::parse(&encoded).expect("it was one before"), route, "{encoded}");
    // With any registry the name has one key, which is its own.
    if let Ok(repository) = names::Repository::new(name.clone(), Some("quay.io")) {
        assert!(repository.key.as_str().starts_with("quay.io/"));
    }
    let repository = names::Repository::new(name.clone(), None).expect("a name alone is enough");
    let again = names::Repository::new(repository.key.clone(), None).expect("so is its key");
    assert_eq!(again.key, repository.key);
}

/// What is read lies inside the blob.
pub fn range(size: u64, header: &str) {
    if let Some(part) = blobs::parse_range(header)
        && let Ok(range) = part.resolve(size)
    {
        assert!(range.start < range.end && range.end <= size, "{range:?} of {size}");
    }
    if let Some((first, last)) = uploads::parse_content_range(header) {
        assert!(first <= last && (last - first).checked_add(1).is_some());
        assert_eq!(uploads::parse_content_range(&format!("{first}-{last}")), Some((first, last)));
    }
}

/// Nothing we did not sign is a token of ours.
pub fn authorization(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, value.clone());
    headers.insert(record::REQUEST_ID, value.clone());
    if let Some(id) = record::id_of(&headers) {
        assert!(id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let signer = Signer::new([7; 32]);
    if let Some((name, _)) = caller::basic(&headers) {
        assert!(!name.contains(':'));
        assert!(caller::credentials(&headers, "bearer").is_none());
    }
    if let Some(token) = caller::credentials(&headers, "bearer") {
        assert!(signer.verify(token, SystemTime::now()).is_none(), "{token}");
    }
    let Ok(text) = value.to_str() else { return };
    if let Ok(scope) = text.parse::<Scope>() {
        let shown = scope.to_string();
        let again = shown.parse::<Scope>().ok();
        assert_eq!(again.map(|scope| scope.to_string()), Some(shown));
    }
    for challenge in Challenge::parse(text) {
        let shown = challenge.to_string();
        if shown.len() > 8 * 1024 {
            continue;
        }
        let again = Challenge::parse(&shown);
        assert_eq!(again.len(), 1, "{shown}");
        assert_eq!(again.first().map(ToString::to_string), Some(shown));
    }
}

/// What is not understood is refused, and no password is shown.
pub fn files(data: &[u8]) {
    let _ = htpasswd::is_read(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = config::parse::<config::Config>(text);
    let _ = config::parse::<serde_json::Value>(text);
    if let Ok(period) = text.parse::<config::Period>() {
        assert_eq!(period.to_string().parse(), Ok(period));
    }
    if let Ok(pattern) = rules::Pattern::try_from(text.to_owned())
        && let Ok(name) = text.parse::<RepositoryName>()
    {
        assert!(pattern.matches(&name.canonical()), "{text}");
    }
}
