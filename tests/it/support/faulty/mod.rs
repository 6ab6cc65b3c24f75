//! A recording server that does wrong where it is told to, for tests and benchmarks.
//!
//! Behind it is a right registry: the one of [`super::memory`], or any other at an address. A fault is
//! laid over the next requests that match it, everything else is answered as it should be.

mod answer;
mod behind;
mod fault;
mod serve;
mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http::{HeaderMap, Method, Request, Response, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use zuul_images::oci::Registry;

pub use self::fault::Fault;
pub use self::serve::acceptor;

use self::answer::{Body, distorted, raw, scripted};
use self::behind::{Behind, passing};
use self::serve::accept;
use self::wire::Script;
use super::memory::Memory;

/// What a request was.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: Method,
    /// With its query.
    pub path: String,
    pub headers: HeaderMap,
    pub body_bytes: usize,
    /// When it came.
    pub at: Instant,
}

/// The server; gone when dropped, and its connections with it.
pub struct Faulty {
    pub address: SocketAddr,
    /// What is behind it, unless another registry is.
    pub memory: Arc<Memory>,
    inner: Arc<Inner>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Inner {
    memory: Arc<Memory>,
    /// The registry behind, if it is not the one in memory.
    registry: Option<SocketAddr>,
    rules: Mutex<Vec<Rule>>,
    recorded: Mutex<Vec<Recorded>>,
    /// Requests that were done and not answered.
    withheld: AtomicUsize,
}

struct Rule {
    method: Method,
    path: String,
    times: usize,
    met: usize,
    fault: Fault,
}

impl Faulty {
    pub async fn start() -> Self {
        Self::start_with("127.0.0.1:0", None, Inner::default()).await
    }

    /// In front of another registry, which is spoken to without TLS.
    pub async fn before(registry: SocketAddr) -> Self {
        let inner = Inner { registry: Some(registry), ..Inner::default() };
        Self::start_with("127.0.0.1:0", None, inner).await
    }

    /// With TLS, showing the certificate in these PEM files.
    pub async fn start_tls(certificate: &Path, key: &Path) -> Self {
        let tls = acceptor(certificate, key);
        Self::start_with("127.0.0.1:0", Some(tls), Inner::default()).await
    }

    /// The same at this address, one of several hosts that know the same.
    pub async fn start_tls_at(
        address: &str,
        memory: &Arc<Memory>,
        certificate: &Path,
        key: &Path,
    ) -> Self {
        let tls = acceptor(certificate, key);
        let inner = Inner { memory: Arc::clone(memory), ..Inner::default() };
        Self::start_with(address, Some(tls), inner).await
    }

    async fn start_with(address: &str, tls: Option<TlsAcceptor>, inner: Inner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let inner = Arc::new(inner);
        Self {
            address: listener.local_addr().unwrap(),
            memory: Arc::clone(&inner.memory),
            accepting: tokio::spawn(accept(listener, tls, Arc::clone(&inner))),
            inner,
        }
    }

    pub fn registry(&self) -> Registry {
        self.address.to_string().parse().unwrap()
    }

    /// Lays a fault over the next `times` requests of this method whose path and query hold `path`, or end with
    /// it where it ends with `$`.
    pub fn fault(&self, times: usize, method: Method, path: &str, fault: Fault) {
        let path = path.to_owned();
        self.inner.rules.lock().unwrap().push(Rule { method, path, times, met: 0, fault });
    }

    /// The faults that no request has met, as `METHOD path`.
    pub fn unmet_faults(&self) -> Vec<String> {
        let rules = self.inner.rules.lock().unwrap();
        let unmet = rules.iter().filter(|rule| rule.met == 0);
        unmet.map(|rule| format!("{} {}", rule.method, rule.path)).collect()
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
        recorded.iter().filter(|one| one.method == method && fits(&one.path, path)).count()
    }

    /// How many requests were done and never answered.
    pub fn withheld(&self) -> usize {
        self.inner.withheld.load(Ordering::SeqCst)
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

impl Inner {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        behind: &Behind,
        script: &Script,
    ) -> Result<Response<Body>, std::io::Error> {
        let (method, path) = (request.method().clone(), path(&request));
        let fault = self.next_fault(&method, &path);
        let position = self.record(&request);
        let (mut parts, body) = request.into_parts();
        match &fault {
            Some(Fault::IgnoreRange | Fault::Truncated(_)) => {
                drop(parts.headers.remove(header::RANGE))
            }
            Some(Fault::Anonymous) => drop(parts.headers.remove(header::AUTHORIZATION)),
            _ => {}
        }
        let inner = Arc::clone(&self);
        let body = passing(body, fault.as_ref(), move |bytes| {
            if let Some(recorded) = inner.recorded.lock().unwrap().get_mut(position) {
                recorded.body_bytes += bytes;
            }
        });
        if let Some(Fault::Hasty(status)) = fault {
            return Ok(scripted(status, vec![], String::new()));
        }
        if let Some(answer) = self.scripted(fault.as_ref(), position) {
            behind::drain(body).await?;
            return Ok(answer);
        }
        match fault.clone() {
            Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Hold(mut gate)) => drop(gate.wait_for(|open| *open).await),
            _ => {}
        }
        let answer = behind.answer(Request::from_parts(parts, body)).await?;
        let is_head = method == Method::HEAD;
        match fault {
            None => Ok(answer),
            Some(Fault::Withhold) => {
                self.withheld.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            }
            Some(Fault::LoseReply) => Err(std::io::Error::other("cut")),
            Some(Fault::RedirectTo(place)) if answer.status().is_success() => {
                Ok(scripted(307, vec![("location", place + &path)], String::new()))
            }
            Some(fault) if fault.is_raw() => {
                script.send(raw(answer, &fault, is_head).await?);
                Ok(scripted(200, vec![], String::new()))
            }
            Some(fault) => distorted(answer, fault, is_head).await,
        }
    }

    /// The answers that nobody behind is asked for.
    fn scripted(&self, fault: Option<&Fault>, position: usize) -> Option<Response<Body>> {
        match fault? {
            Fault::Answer(status, headers, text) => {
                Some(scripted(*status, headers.clone(), text.clone()))
            }
            Fault::NextPage(size) => {
                let link = format!("<?page={position}>; rel=\"next\"");
                let text =
                    format!("{{\"tags\":[],\"manifests\":[],\"x\":\"{}\"}}", "x".repeat(*size));
                Some(scripted(200, vec![("link", link)], text))
            }
            _ => None,
        }
    }

    fn record(&self, request: &Request<Incoming>) -> usize {
        let mut recorded = self.recorded.lock().unwrap();
        recorded.push(Recorded {
            method: request.method().clone(),
            path: path(request),
            headers: request.headers().clone(),
            body_bytes: 0,
            at: Instant::now(),
        });
        recorded.len() - 1
    }

    fn next_fault(&self, method: &Method, path: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules
            .iter_mut()
            .find(|rule| rule.times > 0 && rule.method == *method && fits(path, &rule.path))?;
        rule.times -= 1;
        rule.met += 1;
        Some(rule.fault.clone())
    }
}

fn fits(path: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('$') {
        Some(end) => path.ends_with(end),
        None => path.contains(pattern),
    }
}

fn path<B>(request: &Request<B>) -> String {
    request.uri().path_and_query().unwrap().to_string()
}
