use std::convert::Infallible;
use std::error::Error as StdError;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::header::{CONTENT_LENGTH, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use url::Url;

use super::access::{Effort, Purpose};
use super::manifests::advertised;
use super::scopes::Scopes;
use super::{Error, Repository};
use crate::http::{self as transport, Body, Request, Response};
use crate::oci::{Descriptor, OciErrorCode, RepositoryName};

/// Where uploads begin.
pub(super) const UPLOADS: &str = "blobs/uploads/";

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The registry had it in another repository.
    Mounted,
    /// So many bytes were sent.
    Moved(u64),
}

/// What a registry says to a wish to upload.
pub(super) enum Opened {
    Mounted,
    /// It took the blob with the wish.
    Taken,
    Session(Url),
}

/// What is uploaded.
#[derive(Clone, Copy)]
struct Upload<'a> {
    blob: &'a Descriptor,
    /// All of it, where it is small and in memory.
    whole: Option<&'a Bytes>,
    mount_from: Option<&'a RepositoryName>,
}

impl Repository {
    /// Puts a blob into the repository: by a mount where that is possible, else by one POST and one
    /// PUT (distribution-spec, "Mounting a blob from another repository", "POST then PUT"). The
    /// session a declined mount opens is used. A mount from the repository itself asks whether the
    /// blob is there. `source` gives the bytes, exactly the descriptor's many; it is called again when
    /// the upload has to begin anew.
    ///
    /// # Errors
    /// Any answer but success, and errors of the source, on which nothing is committed.
    pub async fn push_blob<S, E>(
        &self,
        blob: &Descriptor,
        source: impl FnMut() -> S + Send,
        mount_from: Option<&RepositoryName>,
    ) -> Result<Pushed, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + Send + 'static,
    {
        self.upload(Upload { blob, whole: None, mount_from }, source).await
    }

    /// Puts a small blob into the repository: by the one POST that begins its upload where the registry
    /// takes a blob so, else as [`Repository::push_blob`] does.
    ///
    /// # Errors
    /// Any answer but success.
    pub async fn push_small_blob(&self, blob: &Descriptor, bytes: Bytes) -> Result<Pushed, Error> {
        let source = || stream::iter([Ok::<_, Infallible>(bytes.clone())]);
        self.upload(Upload { blob, whole: Some(&bytes), mount_from: None }, source).await
    }

    async fn upload<S, E>(
        &self,
        upload: Upload<'_>,
        mut source: impl FnMut() -> S + Send,
    ) -> Result<Pushed, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>> + Send + 'static,
    {
        let blob = upload.blob;
        let doing = format!(
            "pushing the blob {} ({} bytes) to {}/{}",
            blob.digest,
            blob.size,
            self.registry(),
            self.name()
        );
        let writable = self.clone().writable();
        let purpose = writable.purpose(&doing, writable.scopes());
        let mut retries = self.http().retries();
        let mut logins = 0;
        loop {
            let session = match writable.open(purpose, upload).await? {
                Opened::Mounted => return Ok(Pushed::Mounted),
                Opened::Taken => return Ok(Pushed::Moved(blob.size)),
                Opened::Session(session) => session,
            };
            let bytes = source().map(|next| next.map_err(Into::into)).boxed();
            let failed = match writable.complete(purpose, blob, session, bytes).await {
                Err(Error::Http { source, .. }) => source,
                done => return done,
            };
            // A token may have run out between POST and PUT; the next one will do.
            let unauthorized = matches!(failed, transport::Error::Unauthorized { .. });
            if unauthorized && logins == 0 {
                logins += 1;
                continue;
            }
            if failed.may_be_done() {
                let there = writable.has_blob_with(blob, Effort::Once).await;
                if matches!(there, Ok(true)) {
                    return Ok(Pushed::Moved(blob.size));
                }
            }
            let paused = match is_session_lost(&failed) {
                true => retries.pause_all_the_same(failed).await,
                false => retries.pause(failed).await,
            };
            paused.map_err(|source| purpose.http(source))?;
        }
    }

    async fn open(&self, purpose: Purpose<'_>, upload: Upload<'_>) -> Result<Opened, Error> {
        let Upload { blob, whole, mount_from } = upload;
        if let Some(from) = mount_from {
            let scopes = Scopes::write(self.name()).and_read(from);
            let purpose = Purpose { scopes: &scopes, ..purpose };
            let mut request = self.post(purpose)?;
            request
                .url
                .query_pairs_mut()
                .append_pair("mount", blob.digest.as_str())
                .append_pair("from", from.as_str());
            // A registry, or its token server, that refuses the mount may well take an upload.
            match self.send(purpose, request, Effort::Persistent).await {
                Ok(response) if response.status() == StatusCode::CREATED => {
                    response.discard().await;
                    return Ok(Opened::Mounted);
                }
                Ok(response) if response.status().is_success() => {
                    return self.session(purpose, response).await;
                }
                Ok(response) => response.discard().await,
                Err(Error::Login { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(bytes) = whole
            && let Some(opened) = self.post_whole(purpose, blob, bytes).await?
        {
            return Ok(opened);
        }
        self.begin(purpose, blob).await
    }

    /// Starts an upload. The digest goes along: a registry that has the blob in a repository the
    /// caller may read can mount it from there (distribution-spec, "Mounting a blob from another
    /// repository", without `from`), and most others take no notice.
    async fn begin(&self, purpose: Purpose<'_>, blob: &Descriptor) -> Result<Opened, Error> {
        let known = self.known();
        if !known.refuses_lone_mounts() {
            let mut request = self.post(purpose)?;
            request.url.query_pairs_mut().append_pair("mount", blob.digest.as_str());
            let response = self.send(purpose, request, Effort::Persistent).await?;
            match response.status() {
                StatusCode::CREATED => {
                    response.discard().await;
                    return Ok(Opened::Mounted);
                }
                status if status.is_success() => return self.session(purpose, response).await,
                StatusCode::BAD_REQUEST
                | StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::UNPROCESSABLE_ENTITY => {
                    response.discard().await;
                    known.refused_a_lone_mount();
                }
                _ => return Err(purpose.http(response.into_error().await)),
            }
        }
        let response = self.send(purpose, self.post(purpose)?, Effort::Persistent).await?;
        if !response.status().is_success() {
            return Err(purpose.http(response.into_error().await));
        }
        self.session(purpose, response).await
    }

    fn post(&self, purpose: Purpose<'_>) -> Result<Request, Error> {
        let request = self.request(purpose, Method::POST, UPLOADS)?;
        Ok(request.header(CONTENT_LENGTH, HeaderValue::from_static("0")))
    }

    /// Where the upload goes on.
    pub(super) async fn session(
        &self,
        purpose: Purpose<'_>,
        response: Response,
    ) -> Result<Opened, Error> {
        let location = response.header(LOCATION).map(str::to_owned);
        let asked = response.url().clone();
        response.discard().await;
        let location = location
            .ok_or_else(|| purpose.protocol("its answer to the upload's POST has no Location"))?;
        let location = asked
            .join(&location)
            .map_err(|error| purpose.protocol(format!("its Location is no URL ({error})")))?;
        let location = in_its_own_scheme(&asked, transport::without_login(location));
        if asked.scheme() == "https" && location.scheme() == "http" {
            return Err(purpose.protocol("its Location leaves TLS"));
        }
        if !matches!(location.scheme(), "http" | "https") {
            return Err(purpose.protocol("its Location is not HTTP"));
        }
        Ok(Opened::Session(location))
    }

    async fn complete(
        &self,
        purpose: Purpose<'_>,
        blob: &Descriptor,
        mut session: Url,
        stream: transport::BodyStream,
    ) -> Result<Pushed, Error> {
        session.query_pairs_mut().append_pair("digest", blob.digest.as_str());
        let body = Body::Stream { length: blob.size, stream };
        let octets = HeaderValue::from_static("application/octet-stream");
        let place = session.clone();
        let request = Request::new(Method::PUT, session).body(octets, body);
        let response = match self.send(purpose, request, Effort::Once).await {
            Err(Error::Http { source: transport::Error::Source(source), doing }) => {
                return Err(Error::Source { doing, source });
            }
            sent => sent?,
        };
        if !response.status().is_success() {
            let refused =
                matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            let failed = response.into_error().await;
            return Err(match refused && !self.is_at(purpose, &place)? {
                true => purpose.protocol(format!(
                    "its Location leads elsewhere, where its login is not sent, and {failed}"
                )),
                false => purpose.http(failed),
            });
        }
        taken(purpose, blob, response).await?;
        Ok(Pushed::Moved(blob.size))
    }
}

/// Whether the registry took what it was sent for what it is.
pub(super) async fn taken(
    purpose: Purpose<'_>,
    blob: &Descriptor,
    response: Response,
) -> Result<(), Error> {
    let taken = advertised(&response);
    response.discard().await;
    match taken {
        Some(taken) if taken != blob.digest => {
            Err(purpose.damaged(format!("the registry took it as {taken}")))
        }
        _ => Ok(()),
    }
}

/// A registry behind a proxy that ends TLS, or that it takes for one which does, often does not know its
/// own scheme.
fn in_its_own_scheme(asked: &Url, mut location: Url) -> Url {
    let same_host = location.host() == asked.host();
    let own = match (asked.scheme(), location.scheme()) {
        ("https", "http") => same_host,
        ("http", "https") => same_host && asked.port().is_some() && location.port() == asked.port(),
        _ => false,
    };
    if own {
        // Both take what another URL has.
        let _ = location.set_scheme(asked.scheme()).and_then(|()| location.set_port(asked.port()));
    }
    location
}

/// Whether a registry does not know the upload any more that it has begun: it was started anew, or is
/// several that do not tell each other.
fn is_session_lost(failed: &transport::Error) -> bool {
    failed.answer().is_some_and(|answer| answer.has_code(&OciErrorCode::BlobUploadUnknown))
}
