//! A recording registry that does wrong where it is told to.
//!
//! Behind it is the right registry of [`super::memory`]; a fault is laid over the next requests
//! that match it, everything else is answered as it should be.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use zuul_images::oci::Registry;

use super::memory::Memory;

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answered with this status, these headers and this body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Done, but only after so long.
    Delay(Duration),
    /// Done, but only when it is told to.
    Hold(tokio::sync::watch::Receiver<bool>),
    /// Done, but the answer's body ends after so many bytes, and with it the connection.
    CutAfter(usize),
    /// Done, but the answer's body stands still after so many bytes.
    StallAfter(usize),
    /// Done, but the answer's body waits after so many bytes until it is told to go on.
    PauseAfter(usize, tokio::sync::watch::Receiver<bool>),
    /// Done, but the answer's body comes in pieces of so many bytes, after a pause each.
    Drip(usize, Duration),
    /// Done, but what can be had is at the same path of this place.
    RedirectTo(String),
    /// A page of a list with nothing but a text of so many bytes, and always another one behind it.
    NextPage(usize),
    /// Done, but the connection ends without an answer.
    LoseReply,
    /// The connection ends before anything is done, after so many bytes of the request's body.
    CutRequest(usize),
    /// Done, but the answer has this header, or lacks it.
    Header(&'static str, Option<String>),
    /// Done as if no `Range` had been asked for.
    IgnoreRange,
    /// Done, but with this status.
    Status(u16),
    /// Done, but the answer's body is this.
    Body(Bytes),
}

/// What a request was.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: Method,
    /// With its query.
    pub path: String,
    pub headers: HeaderMap,
    pub body_bytes: usize,
}

/// The server; gone when dropped, and its connections with it.
pub struct Faulty {
    pub address: SocketAddr,
    pub memory: Arc<Memory>,
    inner: Arc<Inner>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Inner {
    memory: Arc<Memory>,
    rules: Mutex<Vec<Rule>>,
    recorded: Mutex<Vec<Recorded>>,
}

struct Rule {
    method: Method,
    path: String,
    times: usize,
    fault: Fault,
}

impl Faulty {
    pub async fn start() -> Self {
        Self::start_with("127.0.0.1:0", None, Arc::default()).await
    }

    /// With TLS, showing the certificate in these PEM files.
    pub async fn start_tls(certificate: &Path, key: &Path) -> Self {
        let tls = acceptor(certificate, key);
        Self::start_with("127.0.0.1:0", Some(tls), Arc::default()).await
    }

    /// The same at this address, one of several hosts that know the same.
    pub async fn start_tls_at(
        address: &str,
        memory: &Arc<Memory>,
        certificate: &Path,
        key: &Path,
    ) -> Self {
        let tls = acceptor(certificate, key);
        Self::start_with(address, Some(tls), Arc::clone(memory)).await
    }

    async fn start_with(address: &str, tls: Option<TlsAcceptor>, memory: Arc<Memory>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let inner = Arc::new(Inner { memory, ..Inner::default() });
        let serving = Arc::clone(&inner);
        Self {
            address: listener.local_addr().unwrap(),
            memory: Arc::clone(&inner.memory),
            inner,
            accepting: tokio::spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((connection, _)) = listener.accept().await {
                    let serving = Arc::clone(&serving);
                    let tls = tls.clone();
                    connections.spawn(async move {
                        match tls {
                            None => serve(connection, serving).await,
                            Some(tls) => {
                                if let Ok(connection) = tls.accept(connection).await {
                                    serve(connection, serving).await;
                                }
                            }
                        }
                    });
                }
            }),
        }
    }

    pub fn registry(&self) -> Registry {
        self.address.to_string().parse().unwrap()
    }

    /// Lays a fault over the next `times` requests of this method whose path and query hold `path`.
    pub fn fault(&self, times: usize, method: Method, path: &str, fault: Fault) {
        let path = path.to_owned();
        self.inner.rules.lock().unwrap().push(Rule { method, path, times, fault });
    }

    /// All requests so far, as `METHOD /path?query`.
    pub fn requests(&self) -> Vec<String> {
        let recorded = self.inner.recorded.lock().unwrap();
        recorded.iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }

    pub fn recorded(&self) -> Vec<Recorded> {
        self.inner.recorded.lock().unwrap().clone()
    }

    /// How many requests of this method had `path` in path and query.
    pub fn count(&self, method: Method, path: &str) -> usize {
        let recorded = self.inner.recorded.lock().unwrap();
        recorded.iter().filter(|one| one.method == method && one.path.contains(path)).count()
    }

    /// From now on everything is answered as it should be.
    pub fn forget_faults(&self) {
        self.inner.rules.lock().unwrap().clear();
    }

    pub fn forget_requests(&self) {
        self.inner.recorded.lock().unwrap().clear();
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_file_iter(certificate).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_file(key).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, std::io::Error>>>;

async fn serve(
    connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    inner: Arc<Inner>,
) {
    let service = service_fn(move |request| {
        let inner = Arc::clone(&inner);
        async move { inner.answer(request).await }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    let _ = builder.half_close(false).serve_connection(TokioIo::new(connection), service).await;
}

impl Inner {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
        let gone = || std::io::Error::other("cut");
        let method = request.method().clone();
        let path = request.uri().path_and_query().unwrap().to_string();
        let fault = self.next_fault(&method, &path);
        let position = {
            let mut recorded = self.recorded.lock().unwrap();
            let headers = request.headers().clone();
            let path = path.clone();
            recorded.push(Recorded { method: method.clone(), path, headers, body_bytes: 0 });
            recorded.len() - 1
        };
        let limit = match fault {
            Some(Fault::CutRequest(bytes)) => Some(bytes),
            _ => None,
        };
        let (mut parts, body) = request.into_parts();
        if matches!(fault, Some(Fault::IgnoreRange)) {
            parts.headers.remove(header::RANGE);
        }
        let body = collect(body, limit).await.ok_or_else(gone)?;
        if let Some(recorded) = self.recorded.lock().unwrap().get_mut(position) {
            recorded.body_bytes = body.len();
        }
        match fault.clone() {
            Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Hold(mut gate)) => drop(gate.wait_for(|open| *open).await),
            Some(Fault::Answer(status, headers, text)) => {
                return Ok(scripted(status, headers, text));
            }
            Some(Fault::NextPage(size)) => {
                let link = format!("<?page={position}>; rel=\"next\"");
                let text =
                    format!("{{\"tags\":[],\"manifests\":[],\"x\":\"{}\"}}", "x".repeat(size));
                return Ok(scripted(200, vec![("link", link)], text));
            }
            _ => {}
        }
        let answer = self.memory.answer(&Request::from_parts(parts, body));
        let is_head = method == Method::HEAD;
        match fault {
            Some(Fault::LoseReply) => Err(gone()),
            Some(Fault::RedirectTo(place)) if answer.status().is_success() => {
                Ok(scripted(307, vec![("location", place + &path)], String::new()))
            }
            fault => Ok(distorted(answer, fault, is_head)),
        }
    }

    fn next_fault(&self, method: &Method, path: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| {
            rule.times > 0 && rule.method == *method && path.contains(rule.path.as_str())
        })?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }
}

/// The request's body; `None` if it is cut off at `limit` bytes or by the client.
async fn collect(mut body: Incoming, limit: Option<usize>) -> Option<Bytes> {
    let mut collected = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            collected.extend_from_slice(&data);
        }
        if limit.is_some_and(|limit| collected.len() >= limit) {
            return None;
        }
    }
    limit.is_none().then(|| collected.into())
}

fn scripted(status: u16, headers: Vec<(&'static str, String)>, text: String) -> Response<Body> {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(name, value);
    }
    answer.body(whole(text.into())).unwrap()
}

fn distorted(answer: Response<Bytes>, fault: Option<Fault>, is_head: bool) -> Response<Body> {
    let (mut parts, mut bytes) = answer.into_parts();
    let length = bytes.len();
    parts.headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    let mut end = None;
    match fault {
        Some(Fault::CutAfter(keep)) => {
            bytes.truncate(keep);
            // What was written has to reach the client before the connection goes.
            end = Some(
                stream::once(async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    Err(std::io::Error::other("cut"))
                })
                .boxed(),
            );
        }
        Some(Fault::StallAfter(keep)) => {
            bytes.truncate(keep);
            end = Some(stream::pending().boxed());
        }
        Some(Fault::PauseAfter(keep, mut gate)) => {
            let rest = bytes.split_off(keep.min(bytes.len()));
            let going_on = async move {
                let _ = gate.wait_for(|open| *open).await;
                Ok(Frame::data(rest))
            };
            end = Some(stream::once(going_on).boxed());
        }
        Some(Fault::Drip(size, pause)) => {
            let rest = bytes.split_off(0);
            let pieces: Vec<Bytes> = rest.chunks(size).map(|piece| rest.slice_ref(piece)).collect();
            let dripping = stream::iter(pieces).then(move |piece| async move {
                tokio::time::sleep(pause).await;
                Ok(Frame::data(piece))
            });
            end = Some(dripping.boxed());
        }
        Some(Fault::Header(name, value)) => {
            parts.headers.remove(name);
            if let Some(value) = value {
                parts.headers.insert(name, value.parse().unwrap());
            }
        }
        Some(Fault::Status(status)) => parts.status = StatusCode::from_u16(status).unwrap(),
        Some(Fault::Body(body)) => {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            bytes = body;
        }
        _ => {}
    }
    let body = match (is_head, end) {
        (true, _) => StreamBody::new(stream::empty().boxed()),
        (false, None) => whole(bytes),
        (false, Some(end)) => {
            StreamBody::new(stream::iter([Ok(Frame::data(bytes))]).chain(end).boxed())
        }
    };
    Response::from_parts(parts, body)
}

fn whole(bytes: Bytes) -> Body {
    let chunks: Vec<Result<Frame<Bytes>, Infallible>> =
        bytes.chunks(64 * 1024).map(|chunk| Ok(Frame::data(bytes.slice_ref(chunk)))).collect();
    StreamBody::new(stream::iter(chunks).map(|frame| frame.map_err(|never| match never {})).boxed())
}
