//! The grammar of registry authentication that both sides share.
//!
//! Scopes and challenges (distribution's token specification) and the credential files of docker
//! and podman. Issuing tokens, checking passwords and access rules are the server's and live in
//! `registry`; fetching tokens is the client's and lives in `client`.

mod scope;

pub use self::scope::{Action, Scope};
