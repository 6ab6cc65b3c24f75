//! The registry: the distribution-spec 1.1 over a store, and the program around it.
//!
//! A request is read as a [`Route`](route::Route), its caller by `users`, and answered by the module of
//! its noun in `endpoints`. Whatever goes wrong is an [`Error`] that says what it means; only `respond`
//! makes a status and a body of it. `config` and `service` turn a folder into a running server, `watch`
//! and `status` say what it did. How bytes are kept is `storage`'s, how connections are served `serve`'s.

mod body;
mod call;
pub mod config;
mod endpoints;
mod error;
mod forward;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod names;
mod respond;
mod route;
mod service;
mod speculative;
mod status;
mod users;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;

use self::call::Call;
use self::config::limits::Limits;
use self::forward::Forward;
use self::names::Repository;
use self::route::{Resource, Route};
use self::status::Listing;
use self::users::Access;
use self::watch::Health;
use self::watch::Metrics;
use self::watch::Record;
use crate::layers::{self, Layers, Reader};
use crate::pointers::{self, Pointers};
use crate::proxy::Proxy;
use crate::serve::{Body, Handler, OnSent, Peer};
use crate::storage::{self, Reach, Storage};

pub use self::config::Config;
pub use self::error::Error;
pub use self::service::{Service, StartError};
pub use self::speculative::Speculative;
pub use self::users::Htpasswd;
pub use self::users::Pattern;
pub use self::users::{Level, User};

/// Answers the requests of the distribution-spec from a store.
pub struct Registry {
    /// What is pushed goes here.
    storage: Arc<dyn Storage>,
    /// What is pulled comes from here; the store is the uppermost.
    layers: Layers,
    access: Access,
    metrics: Arc<Metrics>,
    health: Health,
    listing: Arc<Listing>,
    sparse_images: bool,
    speculative: Speculative,
    /// Images to be fetched on their first use, where such are accepted.
    pointers: Option<Arc<Pointers>>,
    /// What tokens for one image open.
    reach: Reach,
    body_idle: Duration,
    forward: Option<Forward>,
    limits: Limits,
}

impl Registry {
    fn new(
        storage: Arc<dyn Storage>,
        layers: Layers,
        pointers: Option<Arc<Pointers>>,
        access: Access,
        config: &Config,
    ) -> Self {
        let metrics = Arc::new(Metrics::new(layers.watched()));
        Self {
            storage,
            layers,
            access,
            metrics,
            health: Health::default(),
            listing: Arc::new(Listing::new()),
            sparse_images: config.sparse_images,
            speculative: config.speculative.clone(),
            pointers,
            reach: Reach::default(),
            body_idle: config.body_idle.0,
            forward: None,
            limits: config.limits.clone(),
        }
    }

    /// Makes it a forward proxy too. `upper` answers in the tunnels to listed registries.
    fn forward_through(&mut self, proxy: Proxy, mut upper: Self) {
        upper.metrics = Arc::clone(&self.metrics);
        upper.listing = Arc::clone(&self.listing);
        self.forward = Some(Forward::new(proxy, upper));
    }

    /// What the layers answered, with a challenge where only a login is missing.
    fn answered<T>(
        &self,
        call: &Call,
        repository: &Repository,
        result: Result<T, layers::Error>,
    ) -> Result<T, Error> {
        result.map_err(|error| match error {
            layers::Error::LoginNeeded { .. } => self.access.login_needed(call, repository),
            error => error.into(),
        })
    }

    /// The caller as the layers see it.
    fn reader(&self, call: &Call, repository: &Repository) -> Reader {
        self.access.reader(call, &[&repository.key, &repository.asked])
    }

    async fn dispatch(
        &self,
        call: &mut Call,
        route: Result<Route, Error>,
    ) -> Result<Response<Body>, Error> {
        call.demand_host()?;
        if call.method == Method::CONNECT {
            return match &self.forward {
                Some(forward) => forward.connect(call).await,
                None => Err(Error::NoProxy),
            };
        }
        match route? {
            Route::Health => self.healthz(call).await,
            Route::Metrics => self.metrics(call).await,
            Route::Status => self.status(call).await,
            Route::Token => self.token(call).await,
            Route::Base => self.base(call),
            Route::Catalog => self.catalog(call).await,
            Route::PullTokens => self.pull_tokens(call).await,
            Route::Pointers => self.pointers(call).await,
            Route::Repository(name, resource) => {
                let repository = call.repository(name)?;
                match resource {
                    Resource::Manifest(reference) => {
                        self.manifest(call, repository, reference).await
                    }
                    Resource::Blob(digest) => self.blob(call, repository, digest).await,
                    Resource::Uploads => self.uploads(call, repository).await,
                    Resource::Upload(id) => self.upload(call, repository, id).await,
                    Resource::Tags => self.tags(call, repository).await,
                    Resource::Referrers(digest) => self.referrers(call, repository, digest).await,
                }
            }
        }
    }
}

impl Handler for Registry {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let mut call = Call::new(request, peer);
        let route = Route::parse(&call.path);
        let label = match call.method {
            Method::CONNECT => "connect",
            _ => route.as_ref().map_or("other", Route::label),
        };
        let mut record = Record::new(&call, label, Arc::clone(&self.metrics));
        // The token endpoint looks at logins itself, and the health of the server is everybody's.
        if !matches!(route, Ok(Route::Token | Route::Health)) {
            call.caller = self.access.caller(&call).await;
        }
        record.of_user(call.caller.name());
        let result = self.dispatch(&mut call, route).await;
        if matches!(label, "token" | "connect") {
            record.of_user(call.caller.name());
        }
        if let Err(error) = &result {
            log(error, &call);
            record.broke_off(error.is_broken_off());
        }
        let mut response = respond::finish(&call, result);
        call.drain().await;
        record.answered(response.status(), call.layer);
        response.extensions_mut().insert(OnSent::new(move |sent| record.sent(sent)));
        response
    }

    fn connected(&self) {
        self.metrics.connected();
    }

    fn disconnected(&self) {
        self.metrics.disconnected();
    }
}

/// Says on stderr what the operator should see: faults of this side.
fn log(error: &Error, call: &Call) {
    let stored = error.stored();
    let is_fault = matches!(stored, Some(storage::Error::Io { .. } | storage::Error::Damaged(_)))
        || matches!(error, Error::Pointers(pointers::Error::File { .. }));
    if is_fault {
        let id = &*call.id;
        tracing::error!(id, method = %call.method, path = call.path, %error, "the store failed");
    } else {
        tracing::debug!(id = &*call.id, method = %call.method, path = call.path, %error, "refused");
    }
}
