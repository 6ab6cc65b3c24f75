use std::collections::HashSet;

use http::header::LINK;
use http::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use super::access::{Effort, Purpose};
use super::scopes::Scopes;
use super::{Error, Repository};
use crate::http::{Request, Response};
use crate::oci::{OciErrorCode, Reference, Tag};

const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
const PAGE_TAGS: &str = "1000";

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
        let mut url = self.url(purpose, "tags/list")?;
        url.query_pairs_mut().append_pair("n", PAGE_TAGS);
        let mut seen = HashSet::new();
        let mut next = Some(url);
        while let Some(url) = next {
            if !seen.insert(url.clone()) {
                return Err(purpose.protocol("its list of tags runs in a circle"));
            }
            let (page, following) = self.page(purpose, url).await?;
            for name in page.tags.unwrap_or_default() {
                match name.parse() {
                    Ok(tag) => tags.push(tag),
                    Err(error) => tracing::warn!("{doing}: passed over: {error}"),
                }
            }
            next = following;
        }
        Ok(tags)
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

    async fn page(&self, purpose: Purpose<'_>, url: Url) -> Result<(Page, Option<Url>), Error> {
        let request = Request::new(Method::GET, url.clone());
        let response = self.send(purpose, request, self.effort()).await?;
        if response.status() != StatusCode::OK {
            return Err(purpose.http(response.into_error().await));
        }
        let following = following(purpose, &response, &url)?;
        let body = response.bytes(MAX_PAGE_BYTES).await;
        let body = body.map_err(|source| purpose.http(source))?;
        let page = serde_json::from_slice(&body)
            .map_err(|error| purpose.protocol(format!("its list of tags is none ({error})")))?;
        Ok((page, following))
    }
}

/// Where a list goes on, if it does.
pub(super) fn following(
    purpose: Purpose<'_>,
    response: &Response,
    url: &Url,
) -> Result<Option<Url>, Error> {
    let links = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.filter_map(next_link).next().map(|target| url.join(target));
    match next {
        None => Ok(None),
        Some(Ok(next)) if next.origin() == url.origin() => Ok(Some(next)),
        Some(_) => Err(purpose.protocol("the next page of its list is somewhere else")),
    }
}

/// The target with `rel="next"` of a `Link` header (RFC 8288). Targets are opaque.
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split(' ').any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_leads_nowhere_is_no_link() {
        for header in ["", "<", "</a", "</a>", "</a>; rel=prev", "/a; rel=next", "</a>; title=next"]
        {
            assert_eq!(next_link(header), None, "{header}");
        }
    }

    #[test]
    fn the_next_page_is_found_in_every_spelling() {
        for header in [
            "</v2/x?n=1&last=a,b;c>; rel=\"next\"",
            "</v2/x?n=1&last=a,b;c>;rel=next",
            "</other>; rel=\"first\", </v2/x?n=1&last=a,b;c>; title=x; Rel=\"prev next\"",
        ] {
            assert_eq!(next_link(header), Some("/v2/x?n=1&last=a,b;c"), "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "[<>;=\", a-z]{0,40}") {
            let _ = next_link(&header);
        }
    }
}
