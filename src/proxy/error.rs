use std::io;

use super::Target;
use crate::http::Unreachable;
use crate::tls;

/// Why something does not go through the proxy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// CONNECT names no host and port.
    #[error("CONNECT takes a host and a port, not `{0}`")]
    Authority(String),
    /// There are as many tunnels as there may be.
    #[error("too many tunnels are open; try again when some have ended")]
    Busy,
    /// The port is not among those allowed.
    #[error("{target}: the proxy leads to port {} only if `ports` of `forward_proxy` has it", .target.port())]
    Port {
        /// Where to.
        target: Target,
    },
    /// The host has no address, or none that may be connected to.
    #[error("{target}: {source}")]
    Unreachable {
        /// Where to.
        target: Target,
        /// Why.
        source: Unreachable,
    },
    /// No connection.
    #[error("no connection to {target}: {source}")]
    Connect {
        /// Where to.
        target: Target,
        /// Why.
        source: io::Error,
    },
    /// The other side is not believed to be who it should be, or does not speak TLS.
    #[error("no secure connection to {target}: {reason}")]
    Tls {
        /// Where to.
        target: Target,
        /// Why.
        reason: String,
    },
    /// It took too long.
    #[error("{target} {what} in time")]
    Timeout {
        /// Where to.
        target: Target,
        /// What it did not do.
        what: &'static str,
    },
    /// The connection broke, or what came over it was no HTTP.
    #[error("the connection to {target} broke: {reason}")]
    Broken {
        /// Where to.
        target: Target,
        /// Why.
        reason: String,
    },
    /// A request that means different things to different servers is not passed on.
    #[error("a request with {0} is not passed on")]
    Ambiguous(&'static str),
    /// The client ended the handshake in the tunnel, or never began it.
    #[error("the handshake in the tunnel failed: {0}")]
    Handshake(#[source] io::Error),
    /// No certificate can be made for a listed registry.
    #[error(transparent)]
    Certificate(#[from] tls::Error),
}

impl Error {
    /// Whether it is the real host that does not answer: it cannot be reached or believed, or breaks off.
    #[must_use]
    pub fn is_down(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Connect { .. } | Self::Tls { .. } => true,
            Self::Timeout { .. } | Self::Broken { .. } => true,
            Self::Busy => false,
            Self::Authority(_) | Self::Port { .. } | Self::Ambiguous(_) => false,
            Self::Handshake(_) | Self::Certificate(_) => false,
        }
    }
}
