//! A web server in this process: a function answers, and what was asked is kept.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use zuul_images::oci::Registry;

use super::faulty::acceptor;

/// A running server, on a thread of its own; gone when dropped.
pub struct Web {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    pub fn start(
        answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(None, answer)
    }

    /// With TLS, showing the certificate in these PEM files.
    pub fn start_tls(
        certificate: &Path,
        key: &Path,
        answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(Some(acceptor(certificate, key)), answer)
    }

    fn start_with(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = oneshot::channel();
        let (answer, keep) = (Arc::new(answer), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(listener, tls, answer, keep) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, asked, stop: Some(stop), thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`
    pub fn place(&self) -> Registry {
        self.address.to_string().parse().unwrap()
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far, as `METHOD /path?query`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A test that failed says so itself.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn serve<Answer>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    answer: Arc<Answer>,
    keep: Arc<Mutex<Vec<String>>>,
) where
    Answer: Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
{
    while let Ok((connection, _)) = listener.accept().await {
        let (answer, keep) = (Arc::clone(&answer), Arc::clone(&keep));
        let service = service_fn(move |request: Request<Incoming>| {
            let (answer, keep) = (Arc::clone(&answer), Arc::clone(&keep));
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                keep.lock().unwrap().push(format!("{} {}", parts.method, parts.uri));
                let answer = answer(&Request::from_parts(parts, body));
                Ok::<_, hyper::Error>(answer.map(Full::new))
            }
        });
        let (tls, http1) = (tls.clone(), hyper::server::conn::http1::Builder::new());
        tokio::spawn(async move {
            match tls {
                None => drop(http1.serve_connection(TokioIo::new(connection), service).await),
                Some(tls) => {
                    if let Ok(connection) = tls.accept(connection).await {
                        drop(http1.serve_connection(TokioIo::new(connection), service).await);
                    }
                }
            }
        });
    }
}

/// An answer with a document.
pub fn document(status: u16, document: &Value) -> Response<Bytes> {
    let answer =
        Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    answer.body(document.to_string().into()).unwrap()
}

/// An answer without one.
pub fn nothing(status: StatusCode) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::new()).unwrap()
}

/// A parameter of a request's query.
pub fn parameter(request: &Request<Bytes>, name: &str) -> Option<String> {
    let query = request.uri().query()?.as_bytes();
    url::form_urlencoded::parse(query).find(|(key, _)| key == name).map(|(_, value)| value.into())
}

/// Whether a request shows this token.
pub fn shows(request: &Request<Bytes>, token: &str) -> bool {
    request
        .headers()
        .get(header::AUTHORIZATION)
        .is_some_and(|shown| shown.to_str().is_ok_and(|shown| shown == format!("Bearer {token}")))
}
