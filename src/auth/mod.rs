//! The grammar of registry authentication that both sides share.
//!
//! Scopes and challenges (distribution's token specification, RFC 9110 §11.6.1) and the credential
//! files of docker and podman (containers-auth.json(5)) with their helpers. Issuing tokens,
//! checking passwords and access rules are the server's and live in `registry`; fetching tokens is
//! the client's and lives in `client`.

mod authfile;
mod challenge;
mod credentials;
mod helper;
mod identity;
mod scope;
mod store;

pub use self::challenge::Challenge;
pub use self::credentials::{Credentials, Secret};
pub use self::identity::Identity;
pub use self::scope::{Action, Scope};
pub use self::store::CredentialStore;

/// What is wrong with credentials or where they are kept. No message holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A credential file that cannot be read or understood.
    #[error("the auth file {path} cannot be used: {reason}")]
    AuthFile {
        /// Which file.
        path: String,
        /// What is wrong with it; never a part of its content.
        reason: String,
    },
    /// A credential helper that does not do its work.
    #[error(
        "the credential helper docker-credential-{helper}, asked for {server}, failed: {reason}"
    )]
    Helper {
        /// The helper's name.
        helper: String,
        /// Whose credentials were wanted.
        server: String,
        /// What it did.
        reason: String,
    },
    /// A command that does not tell who somebody is.
    #[error("the identity `{name}` cannot be had: {reason}")]
    Identity {
        /// Its name.
        name: String,
        /// What the command did; never what it printed.
        reason: String,
    },
}
