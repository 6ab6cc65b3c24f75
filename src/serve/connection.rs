use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

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
        let stream = Stall::new(stream, self.line.limits.stall);
        let peer = Peer { address, secure: self.tls.is_some() };
        match &self.tls {
            None => {
                let socket: Socket<_> = Some(Stall::get_ref);
                speak(stream, socket, peer, &self.handler, &self.line).await;
            }
            Some(tls) => {
                // Boxed: it is short, and its place would be kept for as long as the connection lasts.
                if let Some(stream) = Box::pin(self.shake_hands(tls, stream, address)).await {
                    speak(stream, None, peer, &self.handler, &self.line).await;
                }
            }
        }
    }

    async fn shake_hands(
        &self,
        tls: &TlsAcceptor,
        stream: Stall<TcpStream>,
        address: SocketAddr,
    ) -> Option<Box<TlsStream<Stall<TcpStream>>>> {
        let Line { limits, signals } = &self.line;
        let handshake =
            tls.accept_with(stream, |session| session.set_buffer_limit(Some(TLS_BUFFER)));
        let handshake = timeout(limits.handshake, handshake);
        match signals.abort.run_until_cancelled(handshake).await? {
            Ok(Ok(stream)) => return Some(Box::new(stream)),
            Ok(Err(error)) => tracing::debug!(%address, %error, "the TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "the TLS handshake took too long"),
        }
        None
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
