//! Certificates: whom the registry's own come from, and what it shows to clients.
//!
//! `issue` makes an authority and certificates, `server` reads a certificate for serving. The
//! handshakes themselves are made by `serve` and `http`. RFC 5280.

mod issue;
mod server;

pub use self::issue::{Authority, Issued, Subject};
pub use self::server::server_config;

/// What is wrong with a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name no certificate can be made for.
    #[error("`{name}` is neither a DNS name nor an IP address")]
    Name {
        /// What was given.
        name: String,
    },
    /// A certificate could not be made.
    #[error("the certificate cannot be made: {0}")]
    Issue(#[from] rcgen::Error),
    /// A file with a certificate or a key cannot be used.
    #[error("{file}: {reason}")]
    File {
        /// Which.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The settings of the TLS library did not fit together.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}
