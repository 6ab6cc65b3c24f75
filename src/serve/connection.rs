use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::sent::{Metered, OnSent, Wire};
use super::stall::Stall;
use super::tunnel::{Dug, Line};
use super::{Handler, Peer, Signals};

/// How much encrypted data may wait for the network.
const TLS_BUFFER: usize = 1024 * 1024;

/// For how long a server that ends waits for the first request of a new connection.
const SILENT: Duration = Duration::from_secs(3);

/// What all connections of a server have in common.
pub(super) struct Shared<H> {
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) line: Line,
    pub(super) handler: Arc<H>,
}

impl<H: Handler> Shared<H> {
    pub(super) async fn serve(&self, stream: TcpStream, address: SocketAddr) {
        let _counted = Counted::new(&*self.handler);
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%address, %error, "small writes may wait");
        }
        let Line { limits, signals } = &self.line;
        let stream = Stall::new(stream, limits.stall);
        let peer = Peer { address, secure: self.tls.is_some() };
        match &self.tls {
            None => self.line.speak(stream, peer, &self.handler).await,
            Some(tls) => {
                let handshake =
                    tls.accept_with(stream, |session| session.set_buffer_limit(Some(TLS_BUFFER)));
                let handshake = timeout(limits.handshake, handshake);
                match signals.abort.run_until_cancelled(handshake).await {
                    Some(Ok(Ok(stream))) => self.line.speak(stream, peer, &self.handler).await,
                    Some(Ok(Err(error))) => {
                        tracing::debug!(%address, %error, "the TLS handshake failed");
                    }
                    Some(Err(_)) => tracing::debug!(%address, "the TLS handshake took too long"),
                    None => {}
                }
            }
        }
    }
}

/// Answers the requests that come on a stream; after CONNECT, runs the tunnel.
pub(super) async fn speak<S, H>(stream: S, peer: Peer, handler: &Arc<H>, line: &Line)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let Line { limits, signals } = line;
    let (wire, dug, first) = (Wire::default(), Dug::default(), First::default());
    let service = service_fn(|mut request| async {
        first.has_come();
        let upgrade = Dug::prepare(&mut request);
        let mut response = handler.answer(request, peer).await;
        dug.keep(upgrade, &mut response);
        if let Some(on_sent) = response.extensions_mut().remove::<OnSent>() {
            let announced = response.headers().get(CONTENT_LENGTH);
            let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
            response = response.map(|body| wire.follow(on_sent, announced, body));
        }
        Ok::<_, Infallible>(response)
    });
    let stream = Metered::new(stream, wire.clone());
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(limits.head_bytes.max(8192))
        .max_headers(limits.header_count)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let ended = {
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = first.or_end(signals) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => Some(ended),
                    () = signals.abort.cancelled() => None,
                }
            }
        }
    };
    wire.close();
    match ended {
        Some(Ok(())) => dug.run(line).await,
        Some(Err(error)) => {
            tracing::debug!(address = %peer.address, %error, "the connection broke off");
        }
        None => {}
    }
}

/// The first request of a connection.
#[derive(Default)]
struct First {
    came: AtomicBool,
    told: Notify,
}

impl First {
    fn has_come(&self) {
        if !self.came.swap(true, Ordering::Relaxed) {
            self.told.notify_one();
        }
    }

    /// Done when the connection is to end after its request; a new one may still send its first.
    async fn or_end(&self, signals: &Signals) {
        signals.stop.cancelled().await;
        if !self.came.load(Ordering::Relaxed) {
            let first = timeout(SILENT, self.told.notified());
            let _ = signals.abort.run_until_cancelled(first).await;
        }
    }
}

/// A connection that its handler knows of.
struct Counted<'a, H: Handler>(&'a H);

impl<'a, H: Handler> Counted<'a, H> {
    fn new(handler: &'a H) -> Self {
        handler.connected();
        Self(handler)
    }
}

impl<H: Handler> Drop for Counted<'_, H> {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}
