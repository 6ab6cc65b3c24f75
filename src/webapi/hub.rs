use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use super::api::{self, Api};
use super::tags::{ApiTag, Pages, Told};
use super::{ApiUrl, Error};
use crate::auth::Credentials;
use crate::http::{Http, Request, Response};
use crate::oci::{Digest, RepositoryName, Tag};

/// The most a page may have, says its documentation.
const PAGE_TAGS: &str = "100";
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;
const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// Docker Hub's web API: the tags of its repositories. Its registry removes none.
#[derive(Debug, Clone)]
pub struct Hub {
    api: Api,
    login: Option<Credentials>,
    /// What the login was exchanged for; good for minutes.
    token: Arc<Mutex<Option<HeaderValue>>>,
}

impl Hub {
    /// Where Docker's own is.
    pub const URL: &str = "https://hub.docker.com/v2";

    /// The API at `base`, with or without its `/v2`, for who logs in with a password or an access token,
    /// or for anybody. Nothing is sent.
    ///
    /// # Errors
    /// A URL without TLS whose host was not named to be so.
    pub fn new(http: &Http, base: &ApiUrl, login: Option<Credentials>) -> Result<Self, Error> {
        let api = Api::new(http, &base.ending_in(&["v2"]))?;
        Ok(Self { api, login, token: Arc::default() })
    }

    pub(super) fn has_login(&self) -> bool {
        self.login.is_some()
    }

    pub(super) async fn tags(
        &self,
        repository: &RepositoryName,
    ) -> Result<Option<Told<Vec<ApiTag>>>, Error> {
        let doing = format!("listing the tags of {repository} on Docker Hub");
        let mut pages = Pages::default();
        while let Some(number) = pages.turn() {
            let mut url = self.url(repository, &[]);
            url.query_pairs_mut()
                .append_pair("page", &number.to_string())
                .append_pair("page_size", PAGE_TAGS);
            let response = self.send(&doing, Request::new(Method::GET, url)).await?;
            if response.status() == StatusCode::NOT_FOUND {
                response.discard().await;
                return Ok(None);
            }
            let clock = response.date();
            let page: Page = self.api.document(&doing, response, MAX_PAGE_BYTES).await?;
            let ended = page.next.is_none() || page.results.is_empty();
            pages.take(clock, page.results.into_iter().map(Entry::tag));
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
        let doing = format!("looking at {repository}:{tag} on Docker Hub");
        let url = self.url(repository, &[tag.as_str()]);
        let response = self.send(&doing, Request::new(Method::GET, url)).await?;
        if response.status() == StatusCode::NOT_FOUND {
            response.discard().await;
            return Ok(None);
        }
        let clock = response.date();
        let entry: Entry = self.api.document(&doing, response, MAX_PAGE_BYTES).await?;
        match entry.tag() {
            Some(answer) if answer.name == *tag => Ok(Some(Told { answer, clock })),
            _ => Err(self.api.strange(&doing, "it tells another tag")),
        }
    }

    pub(super) async fn delete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
    ) -> Result<bool, Error> {
        let doing = format!("deleting {repository}:{tag} on Docker Hub");
        let url = self.url(repository, &[tag.as_str(), ""]);
        let response = self.send(&doing, Request::new(Method::DELETE, url)).await?;
        api::deleted(&doing, response).await
    }

    /// `repositories/<namespace>/<repository>/tags/…`; an official image's namespace is `library`.
    fn url(&self, repository: &RepositoryName, rest: &[&str]) -> Url {
        let name = repository.as_str();
        let namespace = (!name.contains('/')).then_some("library");
        let path = ["repositories"].into_iter().chain(namespace).chain(name.split('/'));
        self.api.url(path.chain(["tags"]).chain(rest.iter().copied()))
    }

    /// Sends a request for who logged in; once more with a new token where the old one was no good.
    async fn send(&self, doing: &str, mut request: Request) -> Result<Response, Error> {
        let mut held = self.token.lock().await;
        let was_held = held.is_some();
        if let (None, Some(login)) = (held.as_ref(), &self.login) {
            *held = Some(self.log_in(login).await?);
        }
        request.authorization.clone_from(&held);
        drop(held);
        let again = request.again().filter(|_| was_held);
        let response = self.api.send(doing, request).await?;
        let (Some(mut again), Some(login), StatusCode::UNAUTHORIZED) =
            (again, &self.login, response.status())
        else {
            return Ok(response);
        };
        response.discard().await;
        let mut held = self.token.lock().await;
        // Others may have been refused, too, and one of them have logged in by now.
        if *held == again.authorization {
            *held = Some(self.log_in(login).await?);
        }
        again.authorization.clone_from(&held);
        drop(held);
        self.api.send(doing, again).await
    }

    /// Exchanges the login for a token; older APIs know only `users/login`, newer ones advise against it.
    async fn log_in(&self, login: &Credentials) -> Result<HeaderValue, Error> {
        let doing =
            format!("logging in to Docker Hub's API as `{}`", login.username.escape_debug());
        let (username, password) = (login.username.as_str(), login.password.reveal());
        let question = NewToken { identifier: username, secret: password };
        let mut response = self.api.post(&doing, &["auth", "token"], &question).await?;
        if matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
            response.discard().await;
            let question = OldLogin { username, password };
            response = self.api.post(&doing, &["users", "login"], &question).await?;
        }
        let token: Token = self.api.document(&doing, response, MAX_TOKEN_BYTES).await?;
        let bearer = api::bearer(&token.access_token);
        bearer.ok_or_else(|| self.api.strange(&doing, "its token cannot stand in a header"))
    }
}

#[derive(Serialize)]
struct NewToken<'a> {
    identifier: &'a str,
    secret: &'a str,
}

#[derive(Serialize)]
struct OldLogin<'a> {
    username: &'a str,
    password: &'a str,
}

#[derive(Deserialize)]
struct Token {
    #[serde(alias = "token")]
    access_token: String,
}

#[derive(Deserialize)]
struct Page {
    /// Where the next page is said to be; only whether there is one counts.
    next: Option<String>,
    results: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    digest: Option<String>,
    tag_last_pushed: Option<String>,
    last_updated: Option<String>,
}

impl Entry {
    /// The later of both moments: whatever was done to the tag last makes it young.
    fn tag(self) -> Option<ApiTag> {
        let moment = |text: Option<String>| text?.parse::<Timestamp>().ok();
        Some(ApiTag {
            name: self.name.parse().ok()?,
            digest: self.digest.and_then(|digest| digest.parse::<Digest>().ok()),
            pushed: moment(self.tag_last_pushed).max(moment(self.last_updated)),
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
        assert_eq!(tag(json!({"name": "not a tag"})), None);
        let told = tag(json!({"name": "x", "digest": "sha256:1", "last_updated": "soon"})).unwrap();
        assert_eq!((told.digest, told.pushed), (None, None));
    }

    #[test]
    fn a_tag_is_as_young_as_the_last_thing_done_to_it() {
        for (pushed, updated) in [
            ("2026-01-02T00:00:00.5Z", "2026-01-01T00:00:00Z"),
            ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00.5Z"),
        ] {
            let told = json!({"name": "x", "tag_last_pushed": pushed, "last_updated": updated});
            let told = tag(told).unwrap().pushed.unwrap();
            assert_eq!(told.to_string(), "2026-01-02T00:00:00.5Z");
        }
    }
}
