use bytes::Bytes;
use http::header::RANGE;
use http::{HeaderValue, Method, StatusCode};

use super::access::{Effort, Purpose};
use super::known::while_it_is_short;
use super::upload::{Opened, UPLOADS, taken};
use super::{Error, Repository};
use crate::http::{Body, Request, Response};
use crate::oci::Descriptor;

impl Repository {
    /// Sends a blob with the POST that begins its upload (distribution-spec, "Single POST"). Nobody can
    /// know beforehand whether a registry takes it; one that does not answers with a session, and the
    /// upload goes on there as it would have anyway. So the first small blob tells it, at no request more.
    /// `None` where the upload has to be begun in the other way.
    pub(super) async fn post_whole(
        &self,
        purpose: Purpose<'_>,
        blob: &Descriptor,
        bytes: &Bytes,
    ) -> Result<Option<Opened>, Error> {
        let known = self.known();
        let posts = &known.single_posts;
        let _first = match posts.are_taken() {
            None => while_it_is_short(&posts.first).await,
            Some(_) => None,
        };
        let mut retries = self.http().retries();
        // Whoever waited finds it known by now.
        while posts.are_taken() != Some(false) {
            let request = self.whole(purpose, blob, bytes)?;
            let failed = match self.send(purpose, request, Effort::Once).await {
                Ok(response) if response.status() == StatusCode::CREATED => {
                    posts.learn(true);
                    taken(purpose, blob, response).await?;
                    return Ok(Some(Opened::Taken));
                }
                Ok(response) if is_empty_session(&response) => {
                    posts.learn(false);
                    return self.session(purpose, response).await.map(Some);
                }
                Ok(response) => response.into_error().await,
                Err(Error::Http { source, .. }) => source,
                Err(error) => return Err(error),
            };
            // Some that do not know what to make of it fail with 500.
            let answer = failed.answer().map(|answer| answer.status);
            if failed.is_transient() && (answer != Some(500) || posts.are_taken().is_some()) {
                let paused = retries.pause(failed).await;
                paused.map_err(|source| purpose.http(source))?;
            } else if matches!(answer, Some(401 | 403)) {
                // That says nothing of how blobs are taken. The ordinary way tells what is wrong.
                return Ok(None);
            } else {
                posts.learn(false);
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn whole(
        &self,
        purpose: Purpose<'_>,
        blob: &Descriptor,
        bytes: &Bytes,
    ) -> Result<Request, Error> {
        let mut request = self.request(purpose, Method::POST, UPLOADS)?;
        request.url.query_pairs_mut().append_pair("digest", blob.digest.as_str());
        let octets = HeaderValue::from_static("application/octet-stream");
        Ok(request.body(octets, Body::Bytes(bytes.clone())))
    }
}

/// Whether the registry waits for the bytes. `0-0` is what registries say of a session that has none; one
/// that has kept them cannot be sent them once more.
fn is_empty_session(response: &Response) -> bool {
    let end = response.header(RANGE).and_then(|range| range.rsplit('-').next());
    response.status() == StatusCode::ACCEPTED && end.is_none_or(|end| end.trim() == "0")
}
