//! Certificates, on both sides (RFC 5280).
//!
//! The client's: `trust` says who is believed when a registry shows its certificate, `explain` turns
//! a refusal into words. The server's: `issue` makes an authority and certificates, `server` reads
//! them for serving. The handshakes themselves are made by `http` and `serve`.

mod explain;
mod issue;
mod leaf;
mod server;
mod trust;

pub use self::explain::explain;
pub use self::issue::{Authority, Issued, Subject};
pub use self::leaf::Leaves;
pub use self::server::server_config;
pub use self::trust::{Extra, Trust};

/// What is wrong with a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// PEM text that holds no certificate or a broken one.
    #[error("the certificates for {registry} cannot be used: {reason}")]
    Pem {
        /// Whose certificates they were to be.
        registry: String,
        /// What is wrong with them.
        reason: String,
    },
    /// A name no certificate can be made for.
    #[error("`{name}` is neither a DNS name nor an IP address")]
    Name {
        /// What was given.
        name: String,
    },
    /// A certificate could not be made.
    #[error("the certificate cannot be made: {0}")]
    Issue(#[from] rcgen::Error),
    /// An authority's certificate does not let it vouch for this.
    #[error("the certificate authority may not vouch for {name}")]
    NotPermitted {
        /// For what.
        name: String,
    },
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
