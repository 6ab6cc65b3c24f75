use http::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::access::{Effort, Purpose};
use super::pages::Pages;
use super::scopes::Scopes;
use super::{Error, Repository};
use crate::http::Request;
use crate::oci::{OciErrorCode, Reference, Tag};

const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
const PAGE_TAGS: &str = "1000";
/// Of all pages: about half a million tags.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// What became of a wish to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// It was not there.
    Absent,
    /// The registry does not delete.
    Unsupported,
}

#[derive(Deserialize)]
struct Page {
    /// Some registries say `null` for none.
    tags: Option<Vec<String>>,
}

impl Repository {
    /// All tags, page by page as the registry's `Link` says (distribution-spec, "Listing Tags").
    ///
    /// # Errors
    /// Any answer but success, also 404 for an unknown repository (see [`Error::is_not_found`]).
    pub async fn tags(&self) -> Result<Vec<Tag>, Error> {
        let doing = format!("listing the tags of {}/{}", self.registry(), self.name());
        let purpose = self.purpose(&doing, self.scopes());
        let mut tags = Vec::new();
        let mut strange = (0, None);
        let mut url = self.url(purpose, "tags/list")?;
        url.query_pairs_mut().append_pair("n", PAGE_TAGS);
        let mut pages = Pages::new(purpose, "tags", MAX_BYTES);
        let mut next = Some(url);
        while let Some(url) = next {
            let (page, following) = self.page(&mut pages, url).await?;
            for name in page.tags.unwrap_or_default() {
                match name.parse() {
                    Ok(tag) => tags.push(tag),
                    Err(error) => strange = (strange.0 + 1, strange.1.or(Some(error))),
                }
            }
            next = following;
        }
        if let (count, Some(first)) = strange {
            tracing::warn!("{doing}: {count} passed over, the first of them: {first}");
        }
        Ok(tags)
    }

    /// Whether the repository has any tag. One that the registry does not know has none.
    ///
    /// # Errors
    /// Any answer but a list and 404.
    pub async fn has_tags(&self) -> Result<bool, Error> {
        let doing = format!("looking for tags of {}/{}", self.registry(), self.name());
        let purpose = self.purpose(&doing, self.scopes());
        let mut url = self.url(purpose, "tags/list")?;
        url.query_pairs_mut().append_pair("n", "1");
        let request = Request::new(Method::GET, url);
        let Some(response) = self.look(purpose, request, self.effort()).await? else {
            return Ok(false);
        };
        let body = response.bytes(MAX_PAGE_BYTES).await.map_err(|e| purpose.http(e))?;
        let page = page(purpose, &body)?;
        Ok(page.tags.is_some_and(|tags| !tags.is_empty()))
    }

    /// Deletes a tag, or by digest a manifest with all its tags (distribution-spec, "Content
    /// Management").
    ///
    /// # Errors
    /// Answers that are neither success nor absence nor refusal on principle.
    pub async fn delete(&self, reference: &Reference) -> Result<Deleted, Error> {
        let doing = format!("deleting {}", self.shown(reference));
        let scopes = Scopes::delete(self.name());
        let purpose = self.purpose(&doing, &scopes);
        let request = self.request(purpose, Method::DELETE, &format!("manifests/{reference}"))?;
        let response = self.send(purpose, request, Effort::Persistent).await?;
        match response.status() {
            status if status.is_success() => Ok(Deleted::Done),
            StatusCode::NOT_FOUND => Ok(Deleted::Absent),
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                Ok(Deleted::Unsupported)
            }
            _ => {
                let error = response.into_error().await;
                let unsupported = error.answer().is_some_and(|answer| {
                    // distribution 2 knows deletion by digest only, and calls a tag an invalid one.
                    answer.has_code(&OciErrorCode::Unsupported)
                        || (matches!(reference, Reference::Tag(_))
                            && answer.has_code(&OciErrorCode::DigestInvalid))
                });
                if unsupported {
                    return Ok(Deleted::Unsupported);
                }
                Err(purpose.http(error))
            }
        }
    }

    async fn page(&self, pages: &mut Pages<'_>, url: Url) -> Result<(Page, Option<Url>), Error> {
        pages.turn_to(&url)?;
        let purpose = pages.purpose();
        let request = Request::new(Method::GET, url.clone()).whole(MAX_PAGE_BYTES);
        let response = self.send(purpose, request, self.effort()).await?;
        if response.status() != StatusCode::OK {
            return Err(purpose.http(response.into_error().await));
        }
        let following = pages.following(&response, &url)?;
        let body = pages.read(response, MAX_PAGE_BYTES).await?;
        Ok((page(purpose, &body)?, following))
    }
}

fn page(purpose: Purpose<'_>, body: &[u8]) -> Result<Page, Error> {
    serde_json::from_slice(body)
        .map_err(|error| purpose.protocol(format!("its list of tags is none ({error})")))
}
