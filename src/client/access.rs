use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::{HeaderValue, StatusCode};
use url::Url;

use super::Error;
use super::known::{Known, Scheme, lock, while_it_is_short};
use super::realm::Realm;
use super::scopes::Scopes;
use super::token::{self, Failure, Token};
use crate::auth::{CredentialStore, Credentials};
use crate::http::{Http, Request, Response};
use crate::oci::{Registry, RepositoryName, printable};

/// Sends requests as somebody: knows how each registry authenticates, and keeps its tokens.
#[derive(Debug)]
pub(super) struct Access {
    http: Http,
    credentials: CredentialStore,
    registries: Mutex<HashMap<Registry, Arc<Known>>>,
}

/// What a request is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose<'a> {
    pub(super) registry: &'a Registry,
    pub(super) name: &'a RepositoryName,
    pub(super) scopes: &'a Scopes,
    /// The token to show, where it is given and not asked for.
    pub(super) bearer: Option<&'a HeaderValue>,
    /// What is being done, for errors.
    pub(super) doing: &'a str,
}

/// Who is asked for a token, and how.
#[derive(Debug, Clone, Copy)]
struct TokenServer<'a> {
    realm: &'a str,
    service: Option<&'a str>,
    effort: Effort,
}

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// Again and again while that is of use.
    Persistent,
    /// Once; who asked decides what a failure means.
    Once,
}

impl Effort {
    pub(super) async fn send(
        self,
        http: &Http,
        request: Request,
    ) -> Result<Response, crate::http::Error> {
        match self {
            Self::Persistent => http.send(request).await,
            Self::Once => http.send_once(request).await,
        }
    }
}

impl Access {
    pub(super) fn new(http: Http, credentials: CredentialStore) -> Self {
        Self { http, credentials, registries: Mutex::default() }
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Sends a request with whatever the registry wants to see. A 401 is answered once, by a new
    /// token or by the login.
    pub(super) async fn send(
        &self,
        purpose: Purpose<'_>,
        mut request: Request,
        effort: Effort,
    ) -> Result<Response, Error> {
        if let Some(bearer) = purpose.bearer {
            return self.send_bearing(purpose, request, effort, bearer).await;
        }
        let known = self.known(purpose.registry);
        let first = match known.scheme() {
            Scheme::Unknown => while_it_is_short(&known.first).await,
            _ => None,
        };
        // Whoever waited finds it known by now.
        let _first = first.filter(|_| known.scheme() == Scheme::Unknown);
        let again = request.again();
        request.authorization = self.authorization(purpose, &known, &request.url, effort).await?;
        let sent = request.authorization.clone();
        let response = self.deliver(purpose, request, effort).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            known.answered_openly();
            return Ok(response);
        }
        if !self.is_at(purpose, response.url())? {
            // What others want to see says nothing of the registry.
            return Ok(response);
        }
        known.learn(response.headers(), sent.as_ref());
        let Some(mut again) = again else {
            return Ok(response);
        };
        // Read to its end before a token is asked for: the answer counts against the limit of the
        // host, which may be the token server, too.
        let refusal = response.into_error().await;
        again.authorization = self.authorization(purpose, &known, &again.url, effort).await?;
        // A new token may be word for word the old one, and good: made within the same second, or not
        // known before to all of a registry that is several.
        let is_new = matches!(known.scheme(), Scheme::Bearer { .. }) || again.authorization != sent;
        if again.authorization.is_none() || !is_new {
            return Err(self.refused(purpose, &refusal).await);
        }
        let response = self.deliver(purpose, again, effort).await?;
        if response.status() == StatusCode::UNAUTHORIZED && self.is_at(purpose, response.url())? {
            let refusal = response.into_error().await;
            return Err(self.refused(purpose, &refusal).await);
        }
        Ok(response)
    }

    /// Shows a token that was given. If it is not good, no other way is tried.
    async fn send_bearing(
        &self,
        purpose: Purpose<'_>,
        mut request: Request,
        effort: Effort,
        bearer: &HeaderValue,
    ) -> Result<Response, Error> {
        if self.is_at(purpose, &request.url)? {
            request.authorization = Some(bearer.clone());
        }
        let response = self.deliver(purpose, request, effort).await?;
        if response.status() == StatusCode::UNAUTHORIZED && self.is_at(purpose, response.url())? {
            let answer = response.into_error().await;
            return Err(Error::Login {
                doing: purpose.doing.to_owned(),
                registry: purpose.registry.clone(),
                reason: format!("the token for this image was refused ({answer})"),
            });
        }
        Ok(response)
    }

    async fn deliver(
        &self,
        purpose: Purpose<'_>,
        mut request: Request,
        effort: Effort,
    ) -> Result<Response, Error> {
        request.named_by_answer |= !self.is_at(purpose, &request.url)?;
        let identity = self.credentials.identity(purpose.registry, purpose.name);
        request.identity = identity.map(Into::into);
        effort.send(&self.http, request).await.map_err(|source| purpose.http(source))
    }

    /// Whether a URL leads to the registry itself.
    pub(super) fn is_at(&self, purpose: Purpose<'_>, url: &Url) -> Result<bool, Error> {
        let endpoint = self.http.endpoint(purpose.registry);
        let endpoint = endpoint.map_err(|source| purpose.http(source))?;
        Ok(url.origin() == endpoint.origin())
    }

    /// The `Authorization` a request is to carry. None goes to another place than the registry, as
    /// upload locations may be.
    async fn authorization(
        &self,
        purpose: Purpose<'_>,
        known: &Known,
        url: &Url,
        effort: Effort,
    ) -> Result<Option<HeaderValue>, Error> {
        if !self.is_at(purpose, url)? {
            return Ok(None);
        }
        match known.scheme() {
            Scheme::Unknown | Scheme::Open => Ok(None),
            Scheme::Basic => {
                let credentials = self.login(purpose).await?;
                Ok(credentials.as_ref().and_then(token::basic))
            }
            Scheme::Bearer { realm, service } => {
                let server = TokenServer { realm: &realm, service: service.as_deref(), effort };
                let token = self.token(purpose, known, server);
                token.await.map(|token| Some(token.authorization))
            }
        }
    }

    /// A token from the cache, or a new one; however many ask at once, one request is made.
    async fn token(
        &self,
        purpose: Purpose<'_>,
        known: &Known,
        server: TokenServer<'_>,
    ) -> Result<Token, Error> {
        if let Some(token) = known.covering_token(purpose.scopes) {
            return Ok(token);
        }
        let slot = known.slot(purpose.scopes);
        let Some(mut slot) = while_it_is_short(&slot).await else {
            return self.fetch_token(purpose, server).await;
        };
        if let Some(token) = slot.as_ref().filter(|token| token.is_valid()) {
            return Ok(token.clone());
        }
        let token = self.fetch_token(purpose, server).await?;
        *slot = Some(token.clone());
        Ok(token)
    }

    async fn fetch_token(
        &self,
        purpose: Purpose<'_>,
        server: TokenServer<'_>,
    ) -> Result<Token, Error> {
        let TokenServer { realm, service, effort } = server;
        let refuse = |reason: String| Error::Realm {
            doing: purpose.doing.to_owned(),
            registry: purpose.registry.clone(),
            realm: realm.chars().take(200).flat_map(char::escape_debug).collect(),
            reason,
        };
        let judged = Realm::judge(purpose.registry, realm, |place| self.http.is_plain(place))
            .map_err(refuse)?;
        let login = self.login_for(purpose, &judged).await?;
        if login.is_none() && !judged.trusted && self.login(purpose).await?.is_some() {
            return Err(refuse(
                "it belongs to somebody else, so the registry's login is not sent there; \
                 if it is right, give a login for its own host"
                    .to_owned(),
            ));
        }
        let request = token::request(&judged, service, purpose.scopes, login.as_ref());
        token::fetch(&self.http, request, effort).await.map_err(|failure| match failure {
            Failure::Http(source) if matches!(source.answer(), Some(answer) if matches!(answer.status, 400..=403)) => {
                purpose.refused(login.as_ref(), &source.to_string())
            }
            Failure::Http(source) => purpose.http(source),
            Failure::Nonsense(reason) => refuse(reason.to_owned()),
        })
    }

    async fn login_for(
        &self,
        purpose: Purpose<'_>,
        realm: &Realm,
    ) -> Result<Option<Credentials>, Error> {
        if realm.trusted {
            return self.login(purpose).await;
        }
        let Some(place) = realm.place() else {
            return Ok(None);
        };
        let found = self.credentials.lookup_registry(&place).await;
        found.map_err(|source| purpose.credentials(source))
    }

    async fn login(&self, purpose: Purpose<'_>) -> Result<Option<Credentials>, Error> {
        let found = self.credentials.lookup(purpose.registry, purpose.name).await;
        found.map_err(|source| purpose.credentials(source))
    }

    /// The login for a whole registry.
    pub(super) async fn login_of(
        &self,
        registry: &Registry,
    ) -> Result<Option<Credentials>, crate::auth::Error> {
        self.credentials.lookup_registry(registry).await
    }

    async fn refused(&self, purpose: Purpose<'_>, answer: &crate::http::Error) -> Error {
        match self.login(purpose).await {
            Ok(login) => purpose.refused(login.as_ref(), &answer.to_string()),
            Err(error) => error,
        }
    }

    pub(super) fn known(&self, registry: &Registry) -> Arc<Known> {
        Arc::clone(lock(&self.registries).entry(registry.clone()).or_default())
    }
}

impl Purpose<'_> {
    pub(super) fn http(&self, source: crate::http::Error) -> Error {
        Error::Http { doing: self.doing.to_owned(), source }
    }

    pub(super) fn damaged(&self, reason: String) -> Error {
        Error::Damaged { doing: self.doing.to_owned(), reason }
    }

    /// The reason may repeat what the registry sent.
    pub(super) fn protocol(&self, reason: impl AsRef<str>) -> Error {
        Error::Protocol {
            doing: self.doing.to_owned(),
            registry: self.registry.clone(),
            reason: printable(reason.as_ref(), 400),
        }
    }

    fn credentials(&self, source: crate::auth::Error) -> Error {
        Error::Credentials { doing: self.doing.to_owned(), source }
    }

    fn refused(&self, login: Option<&Credentials>, answer: &str) -> Error {
        let reason = match login {
            None => format!("none is known for {}/{} ({answer})", self.registry, self.name),
            Some(login) if login.identity_token().is_some() => {
                format!("the identity token that is known was refused ({answer})")
            }
            Some(login) => format!(
                "that of the user `{}` was refused ({answer})",
                login.username.escape_debug()
            ),
        };
        Error::Login { doing: self.doing.to_owned(), registry: self.registry.clone(), reason }
    }
}
