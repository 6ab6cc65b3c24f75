use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use url::Url;

use super::api::{self, Api};
use super::tags::{ApiTag, Pages, Told};
use super::{ApiUrl, Error};
use crate::auth::Secret;
use crate::http::{Http, Request, Response};
use crate::oci::{Digest, Registry, RepositoryName, Tag};

/// The most a page may have, says its documentation.
const PAGE_TAGS: &str = "100";
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Quay's web API: the tags of its repositories.
#[derive(Debug, Clone)]
pub struct Quay {
    api: Api,
    authorization: Option<HeaderValue>,
}

impl Quay {
    /// Where the API of a Quay registry is.
    #[must_use]
    pub fn url_of(registry: &Registry) -> String {
        format!("https://{registry}/api/v1")
    }

    /// The API at `base`, with or without its `/api/v1`, for the owner of an OAuth application's token,
    /// or for anybody. Nothing is sent.
    ///
    /// # Errors
    /// A URL without TLS whose host was not named to be so, and a token that cannot be sent.
    pub fn new(http: &Http, base: &ApiUrl, token: Option<&Secret>) -> Result<Self, Error> {
        let authorization = match token {
            Some(token) => Some(api::bearer(token.reveal()).ok_or(Error::Token)?),
            None => None,
        };
        let api = Api::new(http, &base.ending_in(&["api", "v1"]))?;
        Ok(Self { api, authorization })
    }

    pub(super) fn has_login(&self) -> bool {
        self.authorization.is_some()
    }

    pub(super) async fn tags(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<Told<Vec<ApiTag>>>, Error> {
        let doing = format!("listing the tags of {repository} by Quay's API");
        let mut pages = Pages::default();
        while let Some(number) = pages.turn() {
            let mut url = self.url(repository, "");
            url.query_pairs_mut()
                .append_pair("onlyActiveTags", "true")
                .append_pair("limit", PAGE_TAGS)
                .append_pair("page", &number.to_string());
            let Some((page, clock)) = self.page(&doing, url).await? else { return Ok(None) };
            let ended = !page.has_additional || page.tags.is_empty();
            pages.take(clock, page.tags.into_iter().map(Entry::tag));
            if ended {
                return Ok(Some(pages.end(&doing)));
            }
        }
        Err(self.api.strange(&doing, "its list of tags has no end"))
    }

    pub(super) async fn tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Told<ApiTag>>, Error> {
        let doing = format!("looking at {repository}:{tag} by Quay's API");
        let mut url = self.url(repository, "");
        url.query_pairs_mut()
            .append_pair("onlyActiveTags", "true")
            .append_pair("specificTag", tag.as_str());
        let Some((page, clock)) = self.page(&doing, url).await? else { return Ok(None) };
        let mut tags = page.tags.into_iter().filter_map(Entry::tag);
        Ok(tags.find(|told| told.name == *tag).map(|answer| Told { answer, clock }))
    }

    pub(super) async fn delete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<bool, Error> {
        let doing = format!("deleting {repository}:{tag} by Quay's API");
        let url = self.url(repository, tag.as_str());
        let response = self.send(&doing, Request::new(Method::DELETE, url)).await?;
        api::deleted(&doing, response).await
    }

    async fn page(
        &self,
        doing: &str,
        url: Url,
    ) -> Result<Option<(Page, Option<Timestamp>)>, Error> {
        let response = self.send(doing, Request::new(Method::GET, url)).await?;
        if response.status() == StatusCode::NOT_FOUND {
            response.discard().await;
            return Ok(None);
        }
        let clock = response.date();
        let page = self.api.document(doing, response, MAX_PAGE_BYTES).await?;
        Ok(Some((page, clock)))
    }

    async fn send(&self, doing: &str, mut request: Request) -> Result<Response, Error> {
        request.authorization.clone_from(&self.authorization);
        self.api.send(doing, request).await
    }

    /// `repository/<namespace>/<repository>/tag/…`
    fn url(&self, repository: &RepositoryName, tag: &str) -> Url {
        let path = ["repository"].into_iter().chain(repository.as_str().split('/'));
        self.api.url(path.chain(["tag", tag]))
    }
}

#[derive(Deserialize)]
struct Page {
    tags: Vec<Entry>,
    #[serde(default)]
    has_additional: bool,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    manifest_digest: Option<String>,
    /// Seconds since 1970.
    start_ts: Option<i64>,
    last_modified: Option<String>,
}

impl Entry {
    fn tag(self) -> Option<ApiTag> {
        let started = self.start_ts.and_then(|seconds| Timestamp::from_second(seconds).ok());
        let modified = self
            .last_modified
            .and_then(|text| Some(jiff::fmt::rfc2822::parse(&text).ok()?.timestamp()));
        Some(ApiTag {
            name: self.name.parse().ok()?,
            digest: self.manifest_digest.and_then(|digest| digest.parse::<Digest>().ok()),
            pushed: started.max(modified),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn tag(value: Value) -> Option<ApiTag> {
        serde_json::from_value::<Entry>(value).unwrap().tag()
    }

    #[test]
    fn a_tag_whose_age_or_content_is_not_told_says_so() {
        assert_eq!(tag(json!({"name": "a/b"})), None);
        let told =
            tag(json!({"name": "x", "start_ts": i64::MAX, "last_modified": "soon"})).unwrap();
        assert_eq!((told.digest, told.pushed), (None, None));
    }

    #[test]
    fn both_ways_to_tell_a_moment_are_read() {
        for told in [
            json!({"name": "x", "start_ts": 1_717_680_780}),
            json!({"name": "x", "last_modified": "Thu, 06 Jun 2024 13:33:00 -0000"}),
        ] {
            assert_eq!(tag(told).unwrap().pushed.unwrap().as_second(), 1_717_680_780);
        }
    }
}
