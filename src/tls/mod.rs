//! Certificates: who is believed when a registry shows its own.
//!
//! [`Trust`] is the client's side. The handshakes themselves are made by `http` and `serve`.

mod explain;
mod trust;

pub use self::explain::explain;
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
    /// The settings of the TLS library did not fit together.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}
