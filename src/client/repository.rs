use std::sync::Arc;

use http::{Method, StatusCode};
use url::Url;

use super::Error;
use super::access::{Access, Effort, Purpose};
use super::known::Known;
use super::scopes::Scopes;
use crate::http::{Http, Request, Response};
use crate::oci::{Registry, RepositoryName};

/// One repository of one registry. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository {
    access: Arc<Access>,
    registry: Registry,
    name: RepositoryName,
    scopes: Scopes,
}

impl Repository {
    pub(super) fn new(access: Arc<Access>, registry: Registry, name: RepositoryName) -> Self {
        Self { access, scopes: Scopes::read(&name), registry, name }
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
        Purpose { registry: &self.registry, name: &self.name, scopes, doing }
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
