use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::sent::{Metered, OnSent, Wire};
use super::stall::Stall;
use super::{Handler, Limits, Peer, Signals};

/// How much encrypted data may wait for the network.
const TLS_BUFFER: usize = 1024 * 1024;

/// What all connections of a server have in common.
pub(super) struct Shared<H> {
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) limits: Limits,
    pub(super) handler: Arc<H>,
    pub(super) signals: Signals,
}

impl<H: Handler> Shared<H> {
    pub(super) async fn serve(&self, stream: TcpStream, address: SocketAddr) {
        let _counted = Counted::new(&*self.handler);
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%address, %error, "small writes may wait");
        }
        let stream = Stall::new(stream, self.limits.stall);
        let peer = Peer { address, secure: self.tls.is_some() };
        match &self.tls {
            None => self.speak(stream, peer).await,
            Some(tls) => {
                let handshake =
                    tls.accept_with(stream, |session| session.set_buffer_limit(Some(TLS_BUFFER)));
                let handshake = timeout(self.limits.handshake, handshake);
                match self.signals.abort.run_until_cancelled(handshake).await {
                    Some(Ok(Ok(stream))) => self.speak(stream, peer).await,
                    Some(Ok(Err(error))) => {
                        tracing::debug!(%address, %error, "the TLS handshake failed");
                    }
                    Some(Err(_)) => tracing::debug!(%address, "the TLS handshake took too long"),
                    None => {}
                }
            }
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, peer: Peer) {
        let wire = Wire::default();
        let service = service_fn(|request| async {
            let mut response = self.handler.answer(request, peer).await;
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
            .header_read_timeout(self.limits.head)
            .max_buf_size(self.limits.head_bytes.max(8192))
            .max_headers(self.limits.header_count)
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.signals.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = self.signals.abort.cancelled() => Ok(()),
                }
            }
        };
        wire.close();
        if let Err(error) = ended {
            tracing::debug!(address = %peer.address, %error, "the connection broke off");
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
