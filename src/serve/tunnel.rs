use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Body, Handler, Limits, Peer, Signals, rounds};

/// What becomes of a connection after a successful answer to CONNECT (RFC 9110, 9.3.6): an extension
/// of that answer. The connection keeps its place among those of the server until this is done.
#[derive(Clone)]
pub struct Tunnel(Arc<Mutex<Option<Dig>>>);

type Dig = Box<dyn FnOnce(TokioIo<Upgraded>, Line) -> BoxFuture<'static, ()> + Send>;

/// How a server treats its connections, for who takes one over.
#[derive(Debug, Clone)]
pub struct Line {
    pub(super) limits: Limits,
    pub(super) signals: Signals,
}

impl Tunnel {
    /// Runs with the bytes of the connection once the answer has left.
    pub fn new<F>(run: impl FnOnce(TokioIo<Upgraded>, Line) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(Mutex::new(Some(Box::new(|stream, line| Box::pin(run(stream, line)))))))
    }

    fn take(&self) -> Option<Dig> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Line {
    /// What a client may use up.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Done when nothing new should begin.
    pub async fn stopped(&self) {
        self.signals.stop.cancelled().await;
    }

    /// Done when everything has to end now.
    pub async fn aborted(&self) {
        self.signals.abort.cancelled().await;
    }

    /// Speaks HTTP/1.1 on a stream as the server does on its own: with its limits, until it ends.
    pub fn speak<S, H>(&self, stream: S, peer: Peer, handler: &Arc<H>) -> impl Future<Output = ()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        H: Handler,
    {
        // A TLS session is a kilobyte and more, and every state of what follows would hold its place.
        rounds::speak(Box::new(stream), None, peer, handler, self)
    }
}

/// The tunnel that begins when a connection's HTTP is over, if one does.
#[derive(Default)]
pub(super) struct Dug(Mutex<Option<(Dig, OnUpgrade)>>);

impl Dug {
    /// What a request needs to become a tunnel; taken before it is answered.
    pub(super) fn prepare(request: &mut Request<Incoming>) -> Option<OnUpgrade> {
        (request.method() == Method::CONNECT).then(|| hyper::upgrade::on(request))
    }

    /// Keeps the tunnel of an answer.
    pub(super) fn keep(&self, upgrade: Option<OnUpgrade>, response: &mut Response<Body>) {
        let tunnel = response.extensions_mut().remove::<Tunnel>();
        if let (Some(dig), Some(upgrade)) = (tunnel.and_then(|tunnel| tunnel.take()), upgrade) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((dig, upgrade));
        }
    }

    /// Runs it.
    pub(super) async fn run(self, line: &Line) {
        let dug = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some((dig, upgrade)) = dug else { return };
        match upgrade.await {
            Ok(stream) => dig(TokioIo::new(stream), line.clone()).await,
            Err(error) => tracing::debug!(%error, "a tunnel did not begin"),
        }
    }
}
