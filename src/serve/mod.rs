//! Serving HTTP/1.1: listeners, TLS, limits on connections, draining.
//!
//! What a request means is the [`Handler`]'s; here is only how it arrives and how its answer leaves.
//! Nothing a client does, or fails to do, keeps a connection for ever: handshakes, headers and
//! stalled writes have their time; a handler sees to the bodies it reads, and to what goes through a
//! [`Tunnel`] it lets begin. RFC 9112.

mod connection;
mod file;
mod handed;
mod listen;
mod rounds;
mod sent;
mod stall;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_files;
mod tunnel;
mod whole;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::file::FileBody;
pub use self::listen::{bind, bind_any, file_limit, raise_file_limit};
pub use self::sent::{OnSent, Sent};
pub use self::stall::Stall;
pub use self::tunnel::{Line, Tunnel};
pub use self::whole::{Arriving, full, whole};

/// The body of an answer. An error resets the connection: the client sees that it is not whole.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request; what goes wrong is an answer too.
    fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// A connection was accepted.
    fn connected(&self) {}

    /// A connection has ended.
    fn disconnected(&self) {}
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// Whether it came through TLS.
    pub secure: bool,
}

/// What a client may use up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, and between two requests on one connection.
    pub head: Duration,
    /// Without a byte leaving while an answer is written.
    pub stall: Duration,
    /// Size of the head of a request in bytes.
    pub head_bytes: usize,
    /// Header lines of a request.
    pub header_count: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16 * 1024,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            head_bytes: 64 * 1024,
            header_count: 64,
        }
    }
}

/// Listeners with all that is needed to serve on them.
pub struct Server<H> {
    /// Bound sockets.
    pub listeners: Vec<TcpListener>,
    /// With a certificate: TLS and nothing else.
    pub tls: Option<Arc<ServerConfig>>,
    /// What a client may use up.
    pub limits: Limits,
    /// How long requests that are running may take to end after `stop`.
    pub drain: Duration,
    /// Answers the requests.
    pub handler: Arc<H>,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request that was running got its answer.
    Completely,
    /// Connections were cut when the time was over.
    Cut(usize),
}

impl<H: Handler> Server<H> {
    /// Serves until `stop` is done: then accepts no more, lets running requests end, closes.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Drained {
        let drain = self.drain;
        let signals = Signals::default();
        let tracker = TaskTracker::new();
        let acceptors = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let shared = Arc::new(connection::Shared {
            tls: self.tls.map(Into::into),
            line: Line { limits: self.limits, signals: signals.clone() },
            handler: self.handler,
        });
        for listener in self.listeners {
            acceptors.spawn(listen::accept(
                listener,
                Arc::clone(&shared),
                Arc::clone(&slots),
                tracker.clone(),
            ));
        }
        stop.await;
        signals.stop.cancel();
        acceptors.close();
        acceptors.wait().await;
        tracker.close();
        if tokio::time::timeout(drain, tracker.wait()).await.is_ok() {
            return Drained::Completely;
        }
        let cut = tracker.len();
        signals.abort.cancel();
        tracker.wait().await;
        Drained::Cut(cut)
    }
}

/// What connections are told.
#[derive(Debug, Clone, Default)]
struct Signals {
    /// End after the request that is running.
    stop: CancellationToken,
    /// End now.
    abort: CancellationToken,
}
