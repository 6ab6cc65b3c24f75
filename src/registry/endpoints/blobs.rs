use http::header::{self, HeaderName};
use http::{Method, Response, StatusCode};

use crate::auth::Action;
use crate::oci::Digest;
use crate::registry::call::Call;
use crate::registry::names::Repository;
use crate::registry::watch::Spared;
use crate::registry::{Error, Registry, body, respond};
use crate::serve::{Body, FileBody};
use crate::storage::Part;

impl Registry {
    /// `/v2/<name>/blobs/<digest>` (distribution-spec, "Pulling blobs", "Deleting Blobs").
    pub(in crate::registry) async fn blob(
        &self,
        call: &mut Call,
        repository: Repository,
        digest: Digest,
    ) -> Result<Response<Body>, Error> {
        match call.method {
            Method::GET => {
                self.demand_pull(call, &repository, &digest.clone().into()).await?;
                self.blob_get(call, &repository, &digest).await
            }
            Method::HEAD => {
                self.demand_pull(call, &repository, &digest.clone().into()).await?;
                self.blob_head(call, &repository, &digest).await
            }
            Method::DELETE => {
                self.access.demand(call, &repository, Action::Delete)?;
                self.storage.blob_unlink(&repository.key, &digest).await?;
                Ok(respond::empty(StatusCode::ACCEPTED))
            }
            _ => Err(Error::Method { allowed: "GET, HEAD, DELETE" }),
        }
    }

    async fn blob_head(
        &self,
        call: &mut Call,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Response<Body>, Error> {
        let reader = self.reader(call, repository);
        let found = self.layers.blob_size(reader, &repository.key, digest).await;
        let found = self.answered(call, repository, found)?;
        call.layer = Some(found.layer);
        let size = found.value;
        // Who may push asks before it does.
        if call.method == Method::HEAD && self.access.demand(call, repository, Action::Push).is_ok()
        {
            self.metrics.spared(Spared::Known, size);
        }
        let mut response = describe(digest);
        if call.has_current(&etag(digest)) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            respond::set(&mut response, header::CONTENT_LENGTH, size);
        }
        Ok(response)
    }

    async fn blob_get(
        &self,
        call: &mut Call,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Response<Body>, Error> {
        if call.header(header::IF_NONE_MATCH).is_some() && call.has_current(&etag(digest)) {
            return self.blob_head(call, repository, digest).await;
        }
        let part = requested_part(call, digest);
        let reader = self.reader(call, repository);
        let found = self.layers.blob_open(reader, &repository.key, digest, part).await;
        let found = self.answered(call, repository, found)?;
        call.layer = Some(found.layer);
        let blob = found.value;
        let mut response = describe(digest);
        let (start, end) = (blob.range.start, blob.range.end);
        respond::set(&mut response, header::CONTENT_LENGTH, end - start);
        if part != Part::Whole {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {start}-{}/{}", end.saturating_sub(1), blob.size);
            respond::set(&mut response, header::CONTENT_RANGE, range);
        }
        let counter = self.metrics.bytes_out(found.layer);
        if let Some(file) = blob.file {
            let counter = counter.clone();
            let passed = move |bytes| {
                counter.inc_by(bytes);
            };
            response.extensions_mut().insert(FileBody::new(file, blob.range, passed));
        }
        *response.body_mut() = body::outgoing(blob.bytes, counter);
        Ok(response)
    }
}

fn describe(digest: &Digest) -> Response<Body> {
    let mut response = respond::empty(StatusCode::OK);
    let described: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::ACCEPT_RANGES, "bytes"),
        (respond::CONTENT_DIGEST, digest.as_str()),
        (header::ETAG, &etag(digest)),
    ];
    for (name, value) in described {
        respond::set(&mut response, name, value);
    }
    response
}

pub(in crate::registry) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// The part a `Range` header asks for. What is no single range of bytes is ignored, and so is a range
/// of another version (RFC 9110, 13.1.5 and 14.2).
fn requested_part(call: &Call, digest: &Digest) -> Part {
    let of_this = call.header(header::IF_RANGE).is_none_or(|version| version == etag(digest));
    call.header(header::RANGE).filter(|_| of_this).and_then(parse_range).unwrap_or(Part::Whole)
}

pub(in crate::registry) fn parse_range(range: &str) -> Option<Part> {
    let (unit, range) = range.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    let number = |text: &str| match text {
        text if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) => None,
        // More digits than fit are a position behind every end.
        text => Some(text.parse().unwrap_or(u64::MAX)),
    };
    match (unit.trim().eq_ignore_ascii_case("bytes"), first, last) {
        (false, ..) => None,
        (true, "", last) => Some(Part::Last(number(last)?)),
        (true, first, "") => Some(Part::From(number(first)?)),
        (true, first, last) => Some(Part::Between(number(first)?, number(last)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_single_range_is_ignored() {
        for text in ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1"] {
            assert_eq!(parse_range(text), None, "{text}");
        }
        for text in ["bytes=+1-2", "bytes=--1", "bytes=1-2-3", "bytes=0x1-2"] {
            assert_eq!(parse_range(text), None, "{text}");
        }
    }

    #[test]
    fn reads_every_form_of_a_range() {
        for (text, part) in [
            ("bytes=0-0", Part::Between(0, 0)),
            ("Bytes=5-", Part::From(5)),
            ("bytes=-500", Part::Last(500)),
            ("bytes=99999999999999999999-", Part::From(u64::MAX)),
            ("bytes=500-0", Part::Between(500, 0)),
        ] {
            assert_eq!(parse_range(text), Some(part), "{text}");
        }
    }
}
