use std::sync::Arc;
use std::time::Duration;

use http::header;
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::oci::{self, Reference};
use crate::proxy::{Passage, Target};
use crate::registry::call::Call;
use crate::registry::names::Repository;
use crate::registry::route::{Resource, Route};
use crate::registry::users::Caller;
use crate::registry::watch::Record;
use crate::registry::{Error, Registry, log, respond};
use crate::serve::{Body, Handler, OnSent, Peer};
use crate::storage;

/// How long the real host may take to answer `/v2/`: the docker engine waits for 15 s.
const BASE_TIME: Duration = Duration::from_secs(10);

/// What answers in the tunnel to a listed registry.
pub(super) struct Inside {
    pub(super) upper: Arc<Registry>,
    /// Who asked for the tunnel.
    pub(super) caller: Caller,
    pub(super) target: Target,
    pub(super) registry: oci::Registry,
    pub(super) passage: Passage,
    /// Whether the handshake named the target.
    pub(super) named_target: bool,
}

impl Handler for Inside {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let mut call = Call::about(&request, peer);
        call.caller = self.caller.clone();
        // In the log it is told from requests to this registry itself.
        let shown = format!("{}{}", self.target, call.path);
        let path = std::mem::replace(&mut call.path, shown);
        let mut record = Record::new(&call, "proxied", Arc::clone(&self.upper.metrics));
        record.of_user(call.caller.name());
        let result = self.reply(&mut call, &path, request).await;
        if let Err(error) = &result {
            log(error, &call);
        }
        let mut response = match result {
            Ok(Reply::Passed(response)) => response,
            Ok(Reply::Ours(response)) => respond::finish(&call, Ok(response)),
            Err(error) => respond::finish(&call, Err(error)),
        };
        record.answered(response.status(), call.layer);
        response.extensions_mut().insert(OnSent::new(move |sent| record.sent(sent)));
        response
    }
}

/// Who answered.
enum Reply {
    Ours(Response<Body>),
    /// The real host; nothing is added.
    Passed(Response<Body>),
}

/// What this registry has.
enum Here {
    Answer(Response<Body>),
    Nothing,
    /// A pointer may name it, and its source does not deliver it.
    Failed(Error),
}

impl Inside {
    async fn reply(
        &self,
        call: &mut Call,
        path: &str,
        request: Request<Incoming>,
    ) -> Result<Reply, Error> {
        self.demand_target(&request)?;
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(Error::Method { allowed: "GET, HEAD, POST, PUT, PATCH, DELETE" });
        }
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if reads && matches!(Route::parse(path), Ok(Route::Base)) {
            return self.base(call, request).await;
        }
        match reads.then(|| self.wanted(path)).flatten() {
            None => Ok(Reply::Passed(self.passage.send(request, &call.received).await?)),
            Some((repository, resource)) if is_question_of_push(&request, &resource) => {
                self.there_or_here(call, request, &repository, &resource).await
            }
            Some((repository, resource)) => {
                self.here_or_there(call, request, &repository, &resource).await
            }
        }
    }

    /// `/v2/` is answered here where the real host fails or does not answer: clients ask for it first,
    /// and would never ask for the images that are here.
    async fn base(&self, call: &Call, request: Request<Incoming>) -> Result<Reply, Error> {
        let sending = self.passage.send(request, &call.received);
        match timeout(BASE_TIME, sending).await {
            Ok(Ok(passed)) if !passed.status().is_server_error() => Ok(Reply::Passed(passed)),
            Ok(Err(error)) if !error.is_down() => Err(error.into()),
            failed => {
                let failed = failed.map(|sent| sent.map(|passed| passed.status()));
                tracing::info!(target = %self.target, ?failed, "answered in place of the host");
                Ok(Reply::Ours(respond::json(&serde_json::json!({}))))
            }
        }
    }

    async fn here_or_there(
        &self,
        call: &mut Call,
        request: Request<Incoming>,
        repository: &Repository,
        resource: &Resource,
    ) -> Result<Reply, Error> {
        let failed = match self.here(call, repository, resource).await? {
            Here::Answer(ours) => return Ok(Reply::Ours(ours)),
            Here::Nothing => None,
            Here::Failed(failed) => Some(failed),
        };
        let sent = self.passage.send(request, &call.received).await;
        match (sent, failed) {
            // Why it cannot be had from where it should be says more than that it is nowhere else.
            (Ok(passed), Some(failed)) if is_final(call, passed.status()) => Err(failed),
            (Err(error), Some(failed)) if error.is_down() => Err(failed),
            (sent, _) => Ok(Reply::Passed(sent?)),
        }
    }

    async fn there_or_here(
        &self,
        call: &mut Call,
        request: Request<Incoming>,
        repository: &Repository,
        resource: &Resource,
    ) -> Result<Reply, Error> {
        match self.passage.send(request, &call.received).await {
            Ok(passed) => Ok(Reply::Passed(passed)),
            Err(error) if error.is_down() => match self.here(call, repository, resource).await? {
                Here::Answer(ours) => Ok(Reply::Ours(ours)),
                Here::Nothing => Err(error.into()),
                Here::Failed(failed) => Err(failed),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The authority of CONNECT decides; whatever is named inside has to be the same.
    fn demand_target(&self, request: &Request<Incoming>) -> Result<(), Error> {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().unwrap_or_default(),
            _ => return Err(Error::Host),
        };
        let named = request.uri().authority().map(Authority::as_str);
        let same = |name: &str| self.target.is_named_by_host(name);
        if self.named_target && same(host) && named.is_none_or(same) {
            return Ok(());
        }
        Err(Error::Misdirected { target: self.target.to_string() })
    }

    /// The manifest or blob a path names.
    fn wanted(&self, path: &str) -> Option<(Repository, Resource)> {
        match Route::parse(path) {
            Ok(Route::Repository(name, resource @ (Resource::Manifest(_) | Resource::Blob(_)))) => {
                Some((Repository::of(&self.registry, name)?, resource))
            }
            _ => None,
        }
    }

    /// What this registry has of what is wanted, as far as the user may read it.
    async fn here(
        &self,
        call: &mut Call,
        repository: &Repository,
        resource: &Resource,
    ) -> Result<Here, Error> {
        let by_tag = matches!(resource, Resource::Manifest(Reference::Tag(_)));
        let answered = match resource.clone() {
            Resource::Manifest(reference) => {
                self.upper.manifest(call, repository.clone(), reference).await
            }
            Resource::Blob(digest) => self.upper.blob(call, repository.clone(), digest).await,
            _ => return Ok(Here::Nothing),
        };
        match answered {
            Ok(response) => Ok(Here::Answer(response)),
            Err(Error::Denied { .. } | Error::Unauthorized { .. }) => Ok(Here::Nothing),
            Err(error) if is_unknown(&error) => Ok(Here::Nothing),
            // What has the right digest is the same wherever it comes from, and where pointers name
            // some images of a repository, the real host has the others.
            Err(error @ Error::Layers(_)) if !by_tag && error.stored().is_none() => {
                tracing::info!(target = %self.target, path = call.path, %error, "asking the host");
                Ok(Here::Failed(error))
            }
            // What is here, or pointed at, and cannot be had is not replaced by something else of
            // that name.
            Err(error) => Err(error),
        }
    }
}

/// Whether nobody has ever told the store of it.
fn is_unknown(error: &Error) -> bool {
    matches!(
        error.stored(),
        Some(
            storage::Error::RepositoryUnknown(_)
                | storage::Error::ManifestUnknown { .. }
                | storage::Error::BlobUnknown { .. }
        )
    )
}

/// Whether a client that hears this has nothing else to try.
fn is_final(call: &Call, status: StatusCode) -> bool {
    match status {
        StatusCode::NOT_FOUND => true,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            call.headers.contains_key(header::AUTHORIZATION)
        }
        _ => false,
    }
}

/// Whether this is how clients ask before a push what they can leave out. A push goes to the real host,
/// which has to have all of it; nobody pulls by HEAD of a blob.
fn is_question_of_push(request: &Request<Incoming>, resource: &Resource) -> bool {
    *request.method() == Method::HEAD && matches!(resource, Resource::Blob(_))
}
