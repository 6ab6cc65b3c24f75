use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use url::Url;

use super::connections::{Connections, Host, authority};
use super::error::is_transient_status;
use super::request::{Outgoing, Watch};
use super::settings::Counters;
use super::{Body, Error, Request, Response, Retries, Settings, Statistics, parse_retry_after};
use crate::oci::Registry;

const MAX_REDIRECTS: usize = 5;

/// The HTTP client; clones share connections, limits and counters.
#[derive(Debug, Clone)]
pub struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    connections: Connections,
    counters: Arc<Counters>,
}

impl Http {
    /// A client with these settings. Nothing is connected and no certificate read before it is
    /// needed.
    ///
    /// # Errors
    /// Settings that do not fit together.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        if settings.idle_timeout.is_zero() || settings.connect_timeout.is_zero() {
            return Err(Error::Setup("a timeout of zero lets nothing pass".to_owned()));
        }
        Ok(Self(Arc::new(Inner {
            settings,
            connections: Connections::default(),
            counters: Arc::default(),
        })))
    }

    /// What was sent and received so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.counters.snapshot()
    }

    /// Whether this registry is spoken to without TLS.
    #[must_use]
    pub fn is_plain(&self, registry: &Registry) -> bool {
        self.0.settings.plain_http.contains(registry)
    }

    /// The root URL of a registry. Docker Hub's registry is not at the name it goes by.
    ///
    /// # Errors
    /// A host that cannot stand in a URL.
    pub fn endpoint(&self, registry: &Registry) -> Result<Url, Error> {
        let scheme = if self.is_plain(registry) { "http" } else { "https" };
        let text = if registry.is_docker_hub() {
            format!("{scheme}://registry-1.docker.io/")
        } else {
            format!("{scheme}://{registry}/")
        };
        Url::parse(&text).map_err(|error| Error::Setup(format!("{registry}: {error}")))
    }

    /// The retries for one piece of work that is more than one request.
    #[must_use]
    pub fn retries(&self) -> Retries {
        Retries::new(&self.0.settings, Arc::clone(&self.0.counters))
    }

    /// Sends a request, follows redirects, and tries again what may be tried again.
    ///
    /// # Errors
    /// No answer, or to the last an answer that asks for patience (408, 429, 5xx).
    pub async fn send(&self, mut request: Request) -> Result<Response, Error> {
        let mut retries = self.retries();
        loop {
            let (again, whole) = (request.again(), request.whole);
            let failed = match self.send_once(request).await {
                Ok(response) if is_transient_status(response.status().as_u16()) => {
                    response.into_error().await
                }
                Ok(response) => match whole.filter(|_| response.status().is_success()) {
                    Some(limit) => match response.read(limit).await {
                        Ok(response) => return Ok(response),
                        Err(error) => error,
                    },
                    None => return Ok(response),
                },
                Err(error) => error,
            };
            let Some(next) = again else {
                return Err(failed);
            };
            retries.pause(failed).await?;
            request = next;
        }
    }

    /// Sends a request and follows redirects, but tries nothing twice; any status is an answer.
    ///
    /// # Errors
    /// No answer.
    pub async fn send_once(&self, mut request: Request) -> Result<Response, Error> {
        let mut redirected_by = None;
        for _ in 0..=MAX_REDIRECTS {
            let again = request.again();
            let from = request.url.clone();
            let mut response = self.exchange(request).await?;
            response.redirected_by.clone_from(&redirected_by);
            let Some(target) = redirect_target(&response, &from) else {
                return Ok(response);
            };
            let refuse =
                |reason| Error::Redirect { host: authority(&from), target: shown(&target), reason };
            if !matches!(target.scheme(), "http" | "https") {
                return Err(refuse("that is not HTTP and not followed"));
            }
            if from.scheme() == "https" && target.scheme() == "http" {
                return Err(refuse("that would leave TLS and is not followed"));
            }
            let same_place = from.origin() == target.origin();
            let mut next = again.ok_or_else(|| refuse("the body cannot be sent twice"))?;
            if !same_place {
                if !matches!(next.method, Method::GET | Method::HEAD) {
                    return Err(refuse("what is written is not carried to another host"));
                }
                next.authorization = None;
                redirected_by = Some(authority(&from));
            }
            response.discard().await;
            next.named_by_answer |= !same_place;
            next.url = target;
            request = next;
        }
        Err(Error::Redirect {
            host: authority(&request.url),
            target: shown(&request.url),
            reason: "that is one redirect too many; they lead in a circle",
        })
    }

    /// One request, one answer.
    async fn exchange(&self, request: Request) -> Result<Response, Error> {
        let inner = &self.0;
        let reach = inner.settings.reach.as_ref().filter(|_| request.named_by_answer);
        let host = inner.connections.host(&request.url, &inner.settings, reach)?;
        let limit = match request.body {
            Body::Stream { .. } => &host.uploads,
            Body::Empty | Body::Bytes(_) => &host.requests,
        };
        let permit = Arc::clone(limit)
            .acquire_owned()
            .await
            .map_err(|error| Error::Setup(error.to_string()))?;
        let pace = host.paces.of(request.identity.as_ref());
        if let Some(pace) = &pace {
            pace.wait().await;
        }
        inner.counters.requests.add(1);
        let delivered = self.deliver(&host, request).await;
        if let Some(observer) = &inner.settings.observer {
            match &delivered {
                Ok(answer) => observer.answered(&host.name, answer.status(), answer.headers()),
                Err(error) => observer.failed(&host.name, error),
            }
        }
        let answered = delivered?;
        match &pace {
            Some(pace) if answered.status() == StatusCode::TOO_MANY_REQUESTS => {
                let after = answered.headers().get(RETRY_AFTER);
                pace.complained(after.and_then(|it| parse_retry_after(it.to_str().ok()?)));
            }
            Some(pace) => pace.answered(),
            None => {}
        }
        Ok(Response {
            inner: answered,
            host: host.name.clone(),
            redirected_by: None,
            body: None,
            idle: inner.settings.idle_timeout,
            counters: Arc::clone(&inner.counters),
            _permit: permit,
        })
    }

    async fn deliver(&self, host: &Host, request: Request) -> Result<reqwest::Response, Error> {
        let settings = &self.0.settings;
        let plain = request.url.scheme() == "http";
        let mut builder = host.client.request(request.method, request.url).headers(request.headers);
        if let Some(value) = request.authorization {
            builder = builder.header(AUTHORIZATION, sensitive(value));
        }
        let watch = Arc::new(Watch::new());
        let (idle, commit) = match request.body {
            Body::Empty => (settings.idle_timeout, settings.idle_timeout),
            Body::Bytes(bytes) => {
                self.0.counters.bytes_out.add(bytes.len());
                builder = builder.body(bytes);
                (settings.idle_timeout, settings.idle_timeout)
            }
            Body::Stream { length, stream } => {
                let outgoing = Outgoing {
                    stream,
                    remaining: length,
                    watch: Arc::clone(&watch),
                    counters: Arc::clone(&self.0.counters),
                };
                builder = builder
                    .header(CONTENT_LENGTH, length)
                    .body(reqwest::Body::wrap_stream(outgoing));
                (settings.idle_timeout, settings.commit_timeout)
            }
        };
        let sent = tokio::select! {
            sent = builder.send() => sent,
            limit = watch.standstill(idle, commit) => {
                let host = host.name.clone();
                return Err(Error::Timeout { host, what: "did not answer", limit });
            }
        };
        sent.map_err(|error| match watch.take_source_error() {
            Some(source) => Error::Source(source),
            None => Error::from_reqwest(&host.name, plain, &error, settings.connect_timeout),
        })
    }
}

fn redirect_target(response: &Response, from: &Url) -> Option<Url> {
    let followed = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !followed.contains(&response.status()) {
        return None;
    }
    from.join(response.header(LOCATION)?).ok().map(without_login)
}

/// The same place without the login in its URL, which would be sent there.
#[must_use]
pub fn without_login(mut url: Url) -> Url {
    // What cannot have a login has none.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url
}

/// A URL in a message: queries may hold signatures, the part before `@` passwords.
fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), authority(url), url.path())
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}
