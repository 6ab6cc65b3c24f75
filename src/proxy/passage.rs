use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::dial::connect;
use super::watch::{Through, Watch};
use super::{CONNECT_TIME, Error, IDLE, Proxy, Target, headers};
use crate::serve::{Body, Stall};

/// How long the body of a request may bring nothing, or a write take nothing.
const BODY_IDLE: Duration = Duration::from_secs(60);

/// A connection that was silent for so long may be gone by the time a request reaches it.
const FRESH: Duration = Duration::from_secs(5);

/// The way from one tunnel to the real host: one connection, as the client would have one. Requests
/// and answers go through as they are, but for what concerns neighbours only; a request that the host
/// may have seen is never sent again.
pub struct Passage {
    proxy: Arc<Proxy>,
    target: Target,
    addresses: OnceCell<Vec<SocketAddr>>,
    held: Mutex<Option<Held>>,
}

struct Held {
    sender: SendRequest<Through<Incoming>>,
    used: Instant,
}

impl Passage {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(proxy: Arc<Proxy>, target: Target) -> Self {
        Self { proxy, target, addresses: OnceCell::new(), held: Mutex::new(None) }
    }

    /// Sends a request to the real host and brings its answer; counts the bytes of its body.
    ///
    /// # Errors
    /// There is none: [`Error::is_down`] says whether the host could be asked at all.
    pub async fn send(
        &self,
        request: Request<Incoming>,
        count: &Arc<AtomicU64>,
    ) -> Result<Response<Body>, Error> {
        let watch = Watch::new();
        let (is_head, request) = outgoing(request, &watch, count)?;
        let mut held = self.held.lock().await;
        let mut sender = match held.take() {
            Some(kept) if kept.used.elapsed() < FRESH && !kept.sender.is_closed() => kept.sender,
            _ => self.connect().await?,
        };
        if sender.ready().await.is_err() {
            sender = self.connect().await?;
        }
        let sent = match self.exchange(&mut sender, request, &watch).await {
            Err(Failure::NotSent(request)) => {
                sender = self.connect().await?;
                self.exchange(&mut sender, *request, &watch).await
            }
            sent => sent,
        };
        let response = sent.map_err(|failure| match failure {
            Failure::NotSent(_) => self.broken("it closed before anything was sent"),
            Failure::Lost(error) => error,
        })?;
        *held = Some(Held { sender, used: Instant::now() });
        drop(held);
        self.incoming(response, is_head)
    }

    async fn exchange(
        &self,
        sender: &mut SendRequest<Through<Incoming>>,
        request: Request<Through<Incoming>>,
        watch: &Watch,
    ) -> Result<Response<Incoming>, Failure> {
        watch.touch();
        let answered = tokio::select! {
            answered = sender.try_send_request(request) => answered,
            () = watch.standstill(IDLE) => {
                let target = self.target.clone();
                return Err(Failure::Lost(Error::Timeout { target, what: "did not answer" }));
            }
        };
        answered.map_err(|mut failed| match failed.take_message() {
            Some(request) => Failure::NotSent(Box::new(request)),
            None => Failure::Lost(self.broken(failed.error())),
        })
    }

    async fn connect(&self) -> Result<SendRequest<Through<Incoming>>, Error> {
        let addresses =
            self.addresses.get_or_try_init(|| self.proxy.addresses(&self.target)).await?;
        let stream = connect(&self.target, addresses).await?;
        let listed = self.proxy.listed.get(&self.target);
        let config = listed.map(|listed| Arc::clone(&listed.tls));
        let config = config.ok_or_else(|| Error::Port { target: self.target.clone() })?;
        let name = self.target.server_name()?;
        let handshake = TlsConnector::from(config).connect(name, Stall::new(stream, BODY_IDLE));
        let stream = timeout(CONNECT_TIME, handshake)
            .await
            .map_err(|_| Error::Timeout { target: self.target.clone(), what: "did not greet" })?
            .map_err(|error| self.refused(&error))?;
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(&error))?;
        // It ends with its sender, which goes with the tunnel, and with the answer under way.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a registry broke off");
            }
        });
        Ok(sender)
    }

    fn incoming(
        &self,
        response: Response<Incoming>,
        is_head: bool,
    ) -> Result<Response<Body>, Error> {
        let (mut parts, body) = response.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.broken("it changed the protocol unasked"));
        }
        let recut = parts.headers.contains_key(header::TRANSFER_ENCODING);
        headers::strip(&mut parts.headers);
        if recut && !is_head {
            parts.headers.remove(header::CONTENT_LENGTH);
        }
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        let body = Through::new(body, Watch::new(), IDLE).boxed_unsync();
        Ok(Response::from_parts(parts, body))
    }

    fn refused(&self, error: &std::io::Error) -> Error {
        let reason = match error.get_ref().and_then(|cause| cause.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(why)) => format!(
                "its certificate is not believed ({why}); name its authority in `certificates` of \
                 `forward_proxy` if it should be"
            ),
            Some(rustls::Error::InvalidMessage(_)) => format!("it does not speak TLS ({error})"),
            _ => error.to_string(),
        };
        Error::Tls { target: self.target.clone(), reason }
    }

    fn broken(&self, reason: impl ToString) -> Error {
        Error::Broken { target: self.target.clone(), reason: reason.to_string() }
    }
}

enum Failure {
    /// Not a byte of it has left.
    NotSent(Box<Request<Through<Incoming>>>),
    /// The host may have acted on it.
    Lost(Error),
}

/// The request as it goes on: to the path it named, and not for us. Its length is said anew.
fn outgoing(
    request: Request<Incoming>,
    watch: &Watch,
    count: &Arc<AtomicU64>,
) -> Result<(bool, Request<Through<Incoming>>), Error> {
    let (mut parts, body) = request.into_parts();
    headers::demand_plain_framing(&parts.headers)?;
    let is_chunked = parts.headers.contains_key(header::TRANSFER_ENCODING);
    headers::strip(&mut parts.headers);
    if is_chunked {
        // hyper leaves out the body of a GET that does not say so.
        parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let path = parts.uri.path_and_query().cloned();
    parts.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let is_head = parts.method == Method::HEAD;
    let body = Through::new(body, watch.clone(), BODY_IDLE).counted(Arc::clone(count));
    Ok((is_head, Request::from_parts(parts, body)))
}
