use ::http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use ::http::{HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;

use super::access::{Effort, Purpose};
use super::{Error, Repository};
use crate::http::{self, Body, Request, Response, Retries};
use crate::oci::{
    Digest, MAX_MANIFEST_BYTES, Manifest, OciErrorCode, Reference, media_type, printable,
};
use crate::zuul::Origin;

/// Where registries name the digest of what they serve or took.
pub(super) const CONTENT_DIGEST: &str = "docker-content-digest";

const ORIGIN: HeaderName = HeaderName::from_static(Origin::HEADER);
const TAGGED: HeaderName = HeaderName::from_static(Origin::TAGGED);
const KEEP_PUSHED: HeaderName = HeaderName::from_static(Origin::KEEP_PUSHED);

/// What HEAD says about a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes, where the registry says it.
    pub size: Option<u64>,
    /// Its media type, where the registry says it.
    pub media_type: Option<String>,
    /// Which build tagged it, where the registry knows.
    pub origin: Option<Origin>,
    /// When it was tagged; only our own registries say it.
    pub tagged: Option<Timestamp>,
    /// The registry's clock when it answered, where the registry says it.
    pub clock: Option<Timestamp>,
}

impl ManifestHead {
    /// Whether it is said to list other manifests.
    #[must_use]
    pub fn is_index(&self) -> bool {
        self.media_type.as_deref().is_some_and(media_type::is_index)
    }
}

impl Repository {
    /// What a tag or digest stands for; `None` only when the registry says 404.
    ///
    /// # Errors
    /// Any other answer, and a digest other than the one asked for.
    pub async fn head(&self, reference: &Reference) -> Result<Option<ManifestHead>, Error> {
        self.head_with(reference, self.effort()).await
    }

    /// A manifest, checked against the digest asked for or advertised; `None` only on 404.
    ///
    /// # Errors
    /// Any other answer, wrong content, and what is no manifest.
    pub async fn manifest(&self, reference: &Reference) -> Result<Option<Manifest>, Error> {
        let doing = format!("reading the manifest {}", self.shown(reference));
        let purpose = self.purpose(&doing, self.scopes());
        let request = self.manifest_request(purpose, Method::GET, reference)?;
        let request = request.whole(MAX_MANIFEST_BYTES);
        let Some(response) = self.look(purpose, request, self.effort()).await? else {
            return Ok(None);
        };
        let expected = match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => advertised(&response),
        };
        let content_type = response.header(CONTENT_TYPE).map(str::to_owned);
        let encoding = encoding(&response);
        let bytes = response.bytes(MAX_MANIFEST_BYTES).await;
        let bytes = bytes.map_err(|source| purpose.http(source))?;
        if let Some(expected) = expected {
            let found = Digest::of(expected.algorithm(), &bytes);
            if found != expected {
                return Err(purpose.damaged(format!("expected {expected}, got {found}{encoding}")));
            }
        }
        let manifest = Manifest::parse(bytes, content_type.as_deref());
        manifest.map(Some).map_err(|source| Error::Manifest { doing: doing.clone(), source })
    }

    /// Writes a manifest. If the answer is lost or names another digest, a look at what is there now
    /// settles whether it was taken. A registry that does not find what the manifest names is asked again:
    /// what was just pushed may take time to be seen by all of it.
    ///
    /// # Errors
    /// Any answer but success; a digest that is not the manifest's; [`Error::Kept`].
    pub async fn put_manifest(
        &self,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let writable = self.clone().writable();
        let doing = format!("writing the manifest {}", self.shown(reference));
        let purpose = writable.purpose(&doing, writable.scopes());
        let expected = match reference {
            Reference::Digest(digest) => digest,
            Reference::Tag(_) => manifest.digest(),
        };
        if Digest::of(expected.algorithm(), manifest.bytes()) != *expected {
            return Err(purpose.damaged(format!("its digest is {}", manifest.digest())));
        }
        let mut retries = self.http().retries();
        loop {
            let there = async || {
                let there = writable.head_with(reference, Effort::Once).await;
                matches!(there, Ok(Some(head)) if head.digest == *expected)
            };
            let failed = match writable.put_once(purpose, reference, manifest).await {
                Err(Error::Http { source, .. }) => source,
                Err(Error::Damaged { .. }) if there().await => return Ok(()),
                done => return done,
            };
            if failed.may_be_done() && there().await {
                return Ok(());
            }
            pause_before_write(purpose, &mut retries, failed).await?;
        }
    }

    pub(super) async fn put_once(
        &self,
        purpose: Purpose<'_>,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let path = format!("manifests/{reference}");
        let content_type = HeaderValue::from_str(manifest.media_type())
            .map_err(|_| purpose.protocol("the media type cannot stand in a header"))?;
        let request = self
            .request(purpose, Method::PUT, &path)?
            .body(content_type, Body::Bytes(manifest.bytes().clone()));
        let request = match self.keeps_pushed {
            true => request.header(KEEP_PUSHED, HeaderValue::from_static("true")),
            false => request,
        };
        let response = self.send(purpose, self.said(request), Effort::Once).await?;
        if self.keeps_pushed
            && response.status() == StatusCode::PRECONDITION_FAILED
            && let Some(digest) = advertised(&response)
        {
            response.discard().await;
            return Err(Error::Kept { doing: purpose.doing.to_owned(), digest });
        }
        if !response.status().is_success() {
            return Err(purpose.http(response.into_error().await));
        }
        if manifest.subject().is_some() {
            self.learn_of_referrers(&response);
        }
        let taken = advertised(&response);
        response.discard().await;
        match taken {
            Some(taken) if Digest::of(taken.algorithm(), manifest.bytes()) != taken => {
                Err(purpose.damaged(format!("the registry took it as {taken}")))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn head_with(
        &self,
        reference: &Reference,
        effort: Effort,
    ) -> Result<Option<ManifestHead>, Error> {
        let doing = format!("looking for {}", self.shown(reference));
        let purpose = self.purpose(&doing, self.scopes());
        let request = self.manifest_request(purpose, Method::HEAD, reference)?;
        let Some(response) = self.look(purpose, request, effort).await? else {
            return Ok(None);
        };
        let advertised = advertised(&response);
        let digest = match (reference, advertised) {
            (Reference::Digest(asked), Some(found)) if *asked != found => {
                return Err(purpose.damaged(format!("the registry answers for {found}")));
            }
            (Reference::Digest(asked), _) => asked.clone(),
            (Reference::Tag(_), Some(found)) => found,
            (Reference::Tag(_), None) => {
                // The spec lets registries leave the digest away; then only the bytes tell it.
                drop(response);
                let manifest = self.manifest(reference).await?;
                return Ok(manifest.map(|manifest| ManifestHead {
                    digest: manifest.digest().clone(),
                    size: Some(manifest.bytes().len() as u64),
                    media_type: Some(manifest.media_type().to_owned()),
                    origin: None,
                    tagged: None,
                    clock: None,
                }));
            }
        };
        let media_type = response.header(CONTENT_TYPE).and_then(|value| {
            let value = value.split(';').next()?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        });
        let origin = response.header(ORIGIN).and_then(|value| Origin::from_header(value).ok());
        let tagged = response.header(TAGGED).and_then(|value| value.parse().ok());
        let (size, clock) = (content_length(&response), response.date());
        Ok(Some(ManifestHead { digest, size, media_type, origin, tagged, clock }))
    }

    fn manifest_request(
        &self,
        purpose: Purpose<'_>,
        method: Method,
        reference: &Reference,
    ) -> Result<Request, Error> {
        let accept = HeaderValue::from_str(&media_type::MANIFESTS.join(", "))
            .map_err(|_| purpose.protocol("the media types cannot stand in a header"))?;
        let path = format!("manifests/{reference}");
        Ok(self.said(self.request(purpose, method, &path)?.header(ACCEPT, accept)))
    }

    /// Says with a request which build it is for, where that is known.
    fn said(&self, request: Request) -> Request {
        match &self.origin {
            Some(origin) => request.header(ORIGIN, origin.clone()),
            None => request,
        }
    }

    pub(super) fn shown(&self, reference: &Reference) -> String {
        let separator = match reference {
            Reference::Tag(_) => ':',
            Reference::Digest(_) => '@',
        };
        format!("{}/{}{separator}{reference}", self.registry(), self.name())
    }
}

/// The digest the registry names, if it names one that can be checked.
pub(super) fn advertised(response: &Response) -> Option<Digest> {
    response.header(CONTENT_DIGEST)?.trim().parse().ok()
}

/// Waits before a manifest is written again.
///
/// # Errors
/// What is not worth another try, or has been tried often enough.
pub(super) async fn pause_before_write(
    purpose: Purpose<'_>,
    retries: &mut Retries,
    failed: http::Error,
) -> Result<(), Error> {
    if misses_something(&failed) {
        let paused = retries.pause_all_the_same(failed).await;
        let doing = purpose.doing.to_owned();
        return paused.map_err(|source| Error::Incomplete { doing, source });
    }
    retries.pause(failed).await.map_err(|source| purpose.http(source))
}

/// Whether a registry does not take a manifest because of what it does not find below it.
fn misses_something(failed: &http::Error) -> bool {
    let codes = [
        OciErrorCode::ManifestBlobUnknown,
        OciErrorCode::BlobUnknown,
        OciErrorCode::ManifestUnknown,
    ];
    failed.answer().is_some_and(|answer| codes.iter().any(|code| answer.has_code(code)))
}

/// For errors: that content came encoded, which is not how it is kept.
pub(super) fn encoding(response: &Response) -> String {
    match response.header(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        Some(encoding) => {
            format!(", and it came encoded as `{}`, unasked", printable(encoding, 40))
        }
        None => String::new(),
    }
}

/// `Content-Length` as it stands in the headers; the body of an answer to HEAD has none.
pub(super) fn content_length(response: &Response) -> Option<u64> {
    response.header(CONTENT_LENGTH)?.trim().parse().ok()
}
