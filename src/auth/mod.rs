//! The grammar of registry authentication that both sides share.
//!
//! Scopes and challenges (distribution's token specification) and the credential files of docker
//! and podman. Issuing tokens, checking passwords and access rules are the server's and live in
//! `registry`; fetching tokens is the client's and lives in `client`.

mod credentials;
mod scope;

pub use self::credentials::{CredentialStore, Credentials, Secret};
pub use self::scope::{Action, Scope};

/// What is wrong with credentials or where they are kept.
#[derive(Debug, thiserror::Error)]
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
}
