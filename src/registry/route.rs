use super::Error;
use crate::oci::{Digest, Reference, RepositoryName};
use crate::storage::UploadId;

/// What a path means (distribution-spec, "Endpoints").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/healthz`
    Health,
    /// `/metrics`
    Metrics,
    /// `/status`
    Status,
    /// `/auth/token`
    Token,
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/zuul/v1/pointers`, our own
    Pointers,
    /// `/zuul/v1/pull-tokens`, our own
    PullTokens,
    /// `/v2/<name>/…`
    Repository(RepositoryName, Resource),
}

/// What in a repository a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    /// `manifests/<reference>`
    Manifest(Reference),
    /// `blobs/<digest>`
    Blob(Digest),
    /// `blobs/uploads/`
    Uploads,
    /// `blobs/uploads/<id>`
    Upload(UploadId),
    /// `tags/list`
    Tags,
    /// `referrers/<digest>`
    Referrers(Digest),
}

impl Route {
    /// Reads a path as it stands in the request. Names contain slashes, so the words that end a name
    /// are looked for from the right.
    pub(super) fn parse(path: &str) -> Result<Self, Error> {
        let path = decode(path).ok_or(Error::NoSuchPath)?;
        let rest = match path.as_str() {
            "/healthz" => return Ok(Self::Health),
            "/metrics" => return Ok(Self::Metrics),
            "/status" => return Ok(Self::Status),
            "/auth/token" => return Ok(Self::Token),
            "/v2" | "/v2/" => return Ok(Self::Base),
            "/v2/_catalog" => return Ok(Self::Catalog),
            "/zuul/v1/pointers" => return Ok(Self::Pointers),
            "/zuul/v1/pull-tokens" => return Ok(Self::PullTokens),
            path => path.strip_prefix("/v2/").ok_or(Error::NoSuchPath)?,
        };
        let (name, resource) = Resource::split(rest).ok_or(Error::NoSuchPath)?;
        let name = name.parse().map_err(Error::Invalid)?;
        Ok(Self::Repository(name, resource?))
    }

    /// The word for it in metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::Status => "status",
            Self::Token => "token",
            Self::Base => "base",
            Self::Catalog => "catalog",
            Self::Pointers => "pointers",
            Self::PullTokens => "pull-tokens",
            Self::Repository(_, Resource::Manifest(_)) => "manifest",
            Self::Repository(_, Resource::Blob(_)) => "blob",
            Self::Repository(_, Resource::Uploads) => "uploads",
            Self::Repository(_, Resource::Upload(_)) => "upload",
            Self::Repository(_, Resource::Tags) => "tags",
            Self::Repository(_, Resource::Referrers(_)) => "referrers",
        }
    }
}

impl Resource {
    fn split(path: &str) -> Option<(&str, Result<Self, Error>)> {
        if let Some(name) = path.strip_suffix("/tags/list") {
            return Some((name, Ok(Self::Tags)));
        }
        if let Some(name) =
            path.strip_suffix("/blobs/uploads/").or_else(|| path.strip_suffix("/blobs/uploads"))
        {
            return Some((name, Ok(Self::Uploads)));
        }
        let (rest, last) = path.rsplit_once('/')?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads") {
            let id = last.parse().map(Self::Upload);
            return Some((name, id.map_err(|_| Error::NoSuchUpload)));
        }
        let (name, kind) = rest.rsplit_once('/')?;
        let resource = match kind {
            "manifests" => last.parse().map(Self::Manifest),
            "blobs" => last.parse().map(Self::Blob),
            "referrers" => last.parse().map(Self::Referrers),
            _ => return None,
        };
        Some((name, resource.map_err(Error::Invalid)))
    }
}

/// Resolves `%3A` and the like, once.
fn decode(path: &str) -> Option<String> {
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex_digit(rest.next()?)? * 16 + hex_digit(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn resource(path: &str) -> (String, Resource) {
        match Route::parse(path) {
            Ok(Route::Repository(name, resource)) => (name.to_string(), resource),
            other => unreachable!("{path}: {other:?}"),
        }
    }

    #[test]
    fn refuses_paths_that_mean_nothing() {
        for path in [
            "",
            "/",
            "/v1/",
            "/v2/a",
            "/v2/a/b",
            "/v2//",
            "/v2/a/manifests",
            "/v2/tags/list",
            "/v2/a/tags/list/",
            "/v2/a%2",
            "/v2/a/manifests/%ff",
            "/v2/_catalog/",
        ] {
            assert!(matches!(Route::parse(path), Err(Error::NoSuchPath)), "{path}");
        }
    }

    #[test]
    fn refuses_names_digests_and_tags_outside_the_grammar() {
        for path in [
            "/v2/A/manifests/1",
            "/v2/../manifests/1",
            "/v2/a/../../etc/manifests/passwd",
            "/v2/a%2f..%2fb/tags/list",
            "/v2/a/blobs/sha256:12",
            "/v2/a/blobs/latest",
            "/v2/a/manifests/.hidden",
            "/v2/a/manifests/",
            "/v2/a/referrers/latest",
            "/v2//blobs/uploads/",
        ] {
            assert!(matches!(Route::parse(path), Err(Error::Invalid(_))), "{path}");
        }
        let path = "/v2/a/blobs/uploads/..";
        assert!(matches!(Route::parse(path), Err(Error::NoSuchUpload)));
    }

    #[test]
    fn words_of_the_specification_may_be_parts_of_names() {
        for (path, name) in [
            ("/v2/tags/list/tags/list", "tags/list"),
            ("/v2/blobs/uploads/manifests/blobs", "blobs/uploads"),
            ("/v2/a/manifests/b/manifests/1", "a/manifests/b"),
            ("/v2/a/blobs/uploads/blobs/uploads/", "a/blobs/uploads"),
            ("/v2/_catalog/x/manifests/1", ""),
        ] {
            match Route::parse(path) {
                Ok(Route::Repository(found, _)) => assert_eq!(found.as_str(), name),
                _ => assert!(name.is_empty(), "{path}"),
            }
        }
    }

    #[test]
    fn an_encoded_colon_is_a_colon() {
        let digest = Digest::sha256(b"");
        let path = format!("/v2/a/blobs/{}", digest.as_str().replace(':', "%3A"));
        assert_eq!(resource(&path), ("a".to_owned(), Resource::Blob(digest)));
    }

    proptest! {
        #[test]
        fn every_name_comes_back(
            name in "[a-z0-9]{1,8}(/(manifests|blobs|uploads|tags|list|referrers|[a-z0-9]{1,8})){0,4}",
            tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,10}",
        ) {
            let digest = Digest::sha256(tag.as_bytes());
            let id = UploadId::random().unwrap();
            for (end, expected) in [
                (format!("manifests/{tag}"), Resource::Manifest(tag.parse().unwrap())),
                (format!("manifests/{digest}"), Resource::Manifest(digest.clone().into())),
                (format!("blobs/{digest}"), Resource::Blob(digest.clone())),
                (format!("referrers/{digest}"), Resource::Referrers(digest.clone())),
                (format!("blobs/uploads/{id}"), Resource::Upload(id.clone())),
                ("blobs/uploads/".to_owned(), Resource::Uploads),
                ("tags/list".to_owned(), Resource::Tags),
            ] {
                prop_assert_eq!(resource(&format!("/v2/{name}/{end}")), (name.clone(), expected));
            }
        }

        #[test]
        fn no_path_panics(path in "\\PC{0,60}", tail in "(%[0-9a-f]{2}|/v2/|/|manifests|[a-z]){0,20}") {
            let _ = Route::parse(&path);
            let _ = Route::parse(&format!("/v2/{tail}"));
        }
    }
}
