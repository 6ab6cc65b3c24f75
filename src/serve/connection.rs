use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::rounds::{Socket, speak};
use super::stall::Stall;
use super::tunnel::Line;
use super::{Handler, Peer};

/// How much encrypted data may wait for the network.
const TLS_BUFFER: usize = 256 * 1024;

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
            None => {
                let socket: Socket<_> = Some(Stall::get_ref);
                speak(stream, socket, peer, &self.handler, &self.line).await;
            }
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
