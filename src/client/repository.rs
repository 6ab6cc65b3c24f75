use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode};
use url::Url;

use super::Error;
use super::access::{Access, Effort, Purpose};
use super::known::Known;
use super::scopes::Scopes;
use crate::http::{Http, Request, Response};
use crate::oci::{Registry, RepositoryName};
use crate::zuul::{Origin, PullToken};

/// One repository of one registry. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository {
    access: Arc<Access>,
    registry: Registry,
    name: RepositoryName,
    scopes: Scopes,
    bearer: Option<HeaderValue>,
    pub(super) origin: Option<HeaderValue>,
    pub(super) keeps_pushed: bool,
    effort: Effort,
}

impl Repository {
    pub(super) fn new(access: Arc<Access>, registry: Registry, name: RepositoryName) -> Self {
        let (scopes, effort) = (Scopes::read(&name), Effort::Persistent);
        let (bearer, origin, keeps_pushed) = (None, None, false);
        Self { access, registry, name, scopes, bearer, origin, keeps_pushed, effort }
    }

    /// Its registry.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// The same repository, to be written: a token that only reads is never fetched for it.
    #[must_use]
    pub fn writable(mut self) -> Self {
        self.scopes = Scopes::write(&self.name);
        self
    }

    /// The same repository, read with this token and nothing else: no login is sent, and no other token
    /// asked for.
    #[must_use]
    pub fn bearing(mut self, token: &PullToken) -> Self {
        let value = HeaderValue::from_str(&format!("Bearer {}", token.reveal()));
        self.bearer = value.ok().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        self
    }

    /// The same repository for a build: with every manifest asked for or written goes where it belongs
    /// to. Registries that do not know the header ignore it.
    #[must_use]
    pub fn for_build(mut self, origin: Option<&Origin>) -> Self {
        let value = origin.map(|origin| HeaderValue::from_str(&origin.to_header()));
        self.origin = value.and_then(Result::ok);
        self
    }

    /// The same repository, where no tag is overwritten that was set for no build; see [`Error::Kept`].
    /// Registries that do not know the header overwrite it.
    #[must_use]
    pub fn keeping_pushed(mut self) -> Self {
        self.keeps_pushed = true;
        self
    }

    /// The same repository, whose reads are sent once: for who has something else to go by when the
    /// registry does not answer.
    #[must_use]
    pub fn impatient(mut self) -> Self {
        self.effort = Effort::Once;
        self
    }

    pub(super) fn effort(&self) -> Effort {
        self.effort
    }

    pub(super) fn http(&self) -> &Http {
        self.access.http()
    }

    pub(super) fn known(&self) -> Arc<Known> {
        self.access.known(&self.registry)
    }

    pub(super) fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    pub(super) fn purpose<'a>(&'a self, doing: &'a str, scopes: &'a Scopes) -> Purpose<'a> {
        let bearer = self.bearer.as_ref();
        Purpose { registry: &self.registry, name: &self.name, scopes, bearer, doing }
    }

    /// `/v2/<name>/<path>`
    pub(super) fn url(&self, purpose: Purpose<'_>, path: &str) -> Result<Url, Error> {
        let endpoint = self.http().endpoint(&self.registry);
        let endpoint = endpoint.map_err(|source| purpose.http(source))?;
        endpoint
            .join(&format!("v2/{}/{path}", self.name))
            .map_err(|error| purpose.protocol(format!("{path} makes no URL: {error}")))
    }

    pub(super) fn request(
        &self,
        purpose: Purpose<'_>,
        method: Method,
        path: &str,
    ) -> Result<Request, Error> {
        Ok(Request::new(method, self.url(purpose, path)?))
    }

    pub(super) fn is_at(&self, purpose: Purpose<'_>, url: &Url) -> Result<bool, Error> {
        self.access.is_at(purpose, url)
    }

    pub(super) async fn send(
        &self,
        purpose: Purpose<'_>,
        request: Request,
        effort: Effort,
    ) -> Result<Response, Error> {
        self.access.send(purpose, request, effort).await
    }

    /// Sends a request for something that may be absent: `None` on 404.
    pub(super) async fn look(
        &self,
        purpose: Purpose<'_>,
        request: Request,
        effort: Effort,
    ) -> Result<Option<Response>, Error> {
        let response = self.send(purpose, request, effort).await?;
        match response.status() {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NOT_FOUND => {
                response.discard().await;
                Ok(None)
            }
            _ => Err(purpose.http(response.into_error().await)),
        }
    }
}
