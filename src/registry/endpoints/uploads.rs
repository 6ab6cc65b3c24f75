use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header;
use http::{Method, Response, StatusCode};

use crate::auth::Action;
use crate::oci::{Digest, RepositoryName};
use crate::registry::body::Allowed;
use crate::registry::call::Call;
use crate::registry::names::Repository;
use crate::registry::watch::Spared;
use crate::registry::{Error, Registry, body, respond};
use crate::serve::Body;
use crate::storage::{self, ByteStream, UploadId};

impl Registry {
    /// `/v2/<name>/blobs/uploads/`: starts an upload, takes a whole blob, or mounts one
    /// (distribution-spec, "Pushing blobs", "Mounting a blob from another repository").
    pub(in crate::registry) async fn uploads(
        &self,
        call: &mut Call,
        repository: Repository,
    ) -> Result<Response<Body>, Error> {
        if call.method != Method::POST {
            return Err(Error::Method { allowed: "POST" });
        }
        self.access.demand(call, &repository, Action::Push)?;
        if let Some(digest) = call.parameter("mount") {
            let digest = digest.parse().map_err(Error::Invalid)?;
            if self.mount(call, &repository, &digest).await? {
                return Ok(created(&repository, &digest));
            }
        } else if let Some(digest) = call.parameter("digest") {
            let digest = digest.parse().map_err(Error::Invalid)?;
            return self.whole_blob(call, &repository, &digest).await;
        }
        let id = self.storage.upload_create(&repository.key).await?;
        Ok(progress(StatusCode::ACCEPTED, &repository, &id, 0))
    }

    /// Makes a blob of another repository the caller may read readable here. A mount that cannot be is
    /// no error: the client uploads then.
    async fn mount(
        &self,
        call: &Call,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let sources = match call.parameter("from") {
            Some(name) => {
                let name: RepositoryName = name.parse().map_err(Error::Invalid)?;
                vec![call.repository(name)?.key]
            }
            None => self.storage.blob_repositories(digest).await?,
        };
        for source in sources {
            if !self.access.may_read(call, &source) {
                continue;
            }
            let reader = self.access.reader(call, &[&source]);
            if self.layers.mount(reader, &source, &repository.key, digest).await? {
                let size = self.storage.blob_size(&repository.key, digest).await?;
                self.metrics.spared(Spared::Mounted, size);
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn whole_blob(
        &self,
        call: &mut Call,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Response<Body>, Error> {
        let bytes = self.bytes(call, 0)?;
        let id = self.storage.upload_create(&repository.key).await?;
        let _running = self.metrics.upload();
        let result = match self.storage.upload_append(&repository.key, &id, None, bytes).await {
            Ok(_) => self.storage.upload_finish(&repository.key, &id, digest).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            // The client does not know this upload and cannot go on with it.
            let _ = self.storage.upload_cancel(&repository.key, &id).await;
            return Err(error.into());
        }
        Ok(created(repository, digest))
    }

    /// `/v2/<name>/blobs/uploads/<id>`: an upload under way.
    pub(in crate::registry) async fn upload(
        &self,
        call: &mut Call,
        repository: Repository,
        id: UploadId,
    ) -> Result<Response<Body>, Error> {
        let allowed = "GET, PATCH, PUT, DELETE";
        match call.method {
            Method::GET | Method::PATCH | Method::PUT | Method::DELETE => {}
            _ => return Err(Error::Method { allowed }),
        }
        self.access.demand(call, &repository, Action::Push)?;
        match call.method {
            Method::PATCH => {
                let offset = self.append(call, &repository, &id).await?;
                Ok(progress(StatusCode::ACCEPTED, &repository, &id, offset))
            }
            Method::PUT => self.upload_finish(call, &repository, &id).await,
            Method::DELETE => {
                self.storage.upload_cancel(&repository.key, &id).await?;
                Ok(respond::empty(StatusCode::NO_CONTENT))
            }
            _ => {
                let offset = self.storage.upload_offset(&repository.key, &id).await?;
                Ok(progress(StatusCode::NO_CONTENT, &repository, &id, offset))
            }
        }
    }

    async fn upload_finish(
        &self,
        call: &mut Call,
        repository: &Repository,
        id: &UploadId,
    ) -> Result<Response<Body>, Error> {
        let digest = call.parameter("digest").ok_or(Error::DigestMissing)?;
        let digest: Digest = digest.parse().map_err(Error::Invalid)?;
        if call.has_body() {
            self.append(call, repository, id).await?;
        }
        self.storage.upload_finish(&repository.key, id, &digest).await?;
        Ok(created(repository, &digest))
    }

    async fn append(
        &self,
        call: &mut Call,
        repository: &Repository,
        id: &UploadId,
    ) -> Result<u64, Error> {
        let start = chunk_start(call)?;
        let wrong = |offset| Error::WrongOffset { offset, location: location(repository, id) };
        // Looked at before the body is touched: then the client can be told while it still sends.
        let offset = self.storage.upload_offset(&repository.key, id).await?;
        if start.is_some_and(|start| start != offset) {
            return Err(wrong(offset));
        }
        let _running = self.metrics.upload();
        let bytes = self.bytes(call, offset)?;
        match self.storage.upload_append(&repository.key, id, start, bytes).await {
            Ok(offset) => Ok(offset),
            Err(storage::Error::UploadOffset { offset, .. }) => Err(wrong(offset)),
            Err(error) => {
                if error.is_too_large() {
                    // It can never end well; what has come is not kept.
                    let _ = self.storage.upload_cancel(&repository.key, id).await;
                }
                Err(error.into())
            }
        }
    }

    /// The bytes of a blob that go behind those already there.
    fn bytes(&self, call: &mut Call, there: u64) -> Result<ByteStream, Error> {
        let limit = self.limits.blob.0;
        let room = limit.saturating_sub(there);
        if call.content_length().is_some_and(|length| length > room) {
            return Err(Error::BlobTooLarge { limit });
        }
        let Some(body) = call.take_body() else {
            return Ok(stream::iter([Ok(Bytes::new())]).boxed());
        };
        let until = self.limits.end_of_push(call.started);
        let allowed = Allowed { idle: self.body_idle, until, bytes: room };
        let received = Arc::clone(&call.received);
        Ok(body::incoming(body, allowed, self.metrics.bytes_in(), received))
    }
}

/// Where a chunk starts, if the client says so: `Content-Range: <first>-<last>`.
fn chunk_start(call: &Call) -> Result<Option<u64>, Error> {
    let Some(range) = call.header(header::CONTENT_RANGE) else { return Ok(None) };
    let (first, last) = parse_content_range(range)
        .ok_or(Error::ContentRange("it is not `<first byte>-<last byte>`"))?;
    if call.content_length().is_some_and(|length| length != last - first + 1) {
        return Err(Error::ContentRange("it is not as long as the body"));
    }
    Ok(Some(first))
}

/// Some clients write it as HTTP does, `bytes <first>-<last>/<all>`.
pub(in crate::registry) fn parse_content_range(range: &str) -> Option<(u64, u64)> {
    let range = range.strip_prefix("bytes ").unwrap_or(range);
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let (first, last) = range.trim().split_once('-')?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    (first <= last && last - first < u64::MAX).then_some((first, last))
}

fn created(repository: &Repository, digest: &Digest) -> Response<Body> {
    let mut response = respond::empty(StatusCode::CREATED);
    let location = repository.location(&format!("blobs/{digest}"));
    respond::set(&mut response, header::LOCATION, location);
    respond::set(&mut response, respond::CONTENT_DIGEST, digest);
    respond::set(&mut response, header::CONTENT_LENGTH, 0);
    response
}

fn progress(
    status: StatusCode,
    repository: &Repository,
    id: &UploadId,
    offset: u64,
) -> Response<Body> {
    let mut response = respond::empty(status);
    respond::set(&mut response, header::LOCATION, location(repository, id));
    respond::set(&mut response, header::RANGE, respond::received(offset));
    respond::set(&mut response, respond::UPLOAD_ID, id);
    if status != StatusCode::NO_CONTENT {
        respond::set(&mut response, header::CONTENT_LENGTH, 0);
    }
    response
}

fn location(repository: &Repository, id: &UploadId) -> String {
    repository.location(&format!("blobs/uploads/{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_content_range() {
        for text in ["", "-", "1", "2-1", "-1-2", "a-b", "bytes 1", "0-18446744073709551616"] {
            assert_eq!(parse_content_range(text), None, "{text}");
        }
        assert_eq!(parse_content_range("0-18446744073709551615"), None);
    }

    #[test]
    fn reads_the_content_ranges_clients_send() {
        for text in ["3-7", "bytes 3-7/10", "bytes 3-7/*"] {
            assert_eq!(parse_content_range(text), Some((3, 7)), "{text}");
        }
    }
}
