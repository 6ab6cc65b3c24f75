use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::pages::Pages;
use super::{Error, Repository};
use crate::http::Request;
use crate::oci::{Digest, MAX_MANIFEST_BYTES, Reference};

/// Of all pages; what is made of them in memory is several times as much.
const MAX_BYTES: usize = 2 * MAX_MANIFEST_BYTES;

#[derive(Deserialize)]
struct Page {
    manifests: Option<Vec<Value>>,
}

impl Repository {
    /// The descriptors of the manifests attached to `subject` (distribution-spec, "Listing
    /// Referrers"), from the tag named after it where the registry has no such list ("Unavailable
    /// Referrers API").
    ///
    /// # Errors
    /// Any answer but success and absence, and what is no such list.
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Value>, Error> {
        let doing =
            format!("listing the referrers of {}", self.shown(&Reference::Digest(subject.clone())));
        let purpose = self.purpose(&doing, self.scopes());
        let mut found = Vec::new();
        let mut pages = Pages::new(purpose, "referrers", MAX_BYTES);
        let mut next = Some(self.url(purpose, &format!("referrers/{subject}"))?);
        while let Some(url) = next {
            pages.turn_to(&url)?;
            let request = Request::new(Method::GET, url.clone()).whole(MAX_MANIFEST_BYTES);
            let response = self.send(purpose, request, self.effort()).await?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND
                | StatusCode::BAD_REQUEST
                | StatusCode::METHOD_NOT_ALLOWED
                | StatusCode::NOT_IMPLEMENTED
                    if found.is_empty() =>
                {
                    response.discard().await;
                    return self.referrers_by_tag(subject).await;
                }
                _ => return Err(purpose.http(response.into_error().await)),
            }
            next = pages.following(&response, &url)?;
            let body = pages.read(response, MAX_MANIFEST_BYTES).await?;
            let page: Page = serde_json::from_slice(&body).map_err(|error| {
                purpose.protocol(format!("its list of referrers is none ({error})"))
            })?;
            found.extend(page.manifests.unwrap_or_default());
        }
        Ok(found)
    }

    /// `sha256-HEX` is an index of them (distribution-spec, "Referrers Tag Schema").
    async fn referrers_by_tag(&self, subject: &Digest) -> Result<Vec<Value>, Error> {
        let tag: String = subject.as_str().replacen(':', "-", 1).chars().take(128).collect();
        let Ok(tag) = tag.parse() else { return Ok(Vec::new()) };
        let Some(index) = self.manifest(&Reference::Tag(tag)).await? else {
            return Ok(Vec::new());
        };
        let page: Option<Page> = serde_json::from_slice(index.bytes()).ok();
        Ok(page.and_then(|page| page.manifests).unwrap_or_default())
    }
}
