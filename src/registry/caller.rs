use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::{self, HeaderMap};
use serde::{Deserialize, Serialize};

use super::signer::Claims;
use crate::auth::Action;

/// Somebody who may log in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Password; the file that holds it is the owner's alone.
    #[serde(rename = "pass")]
    pub password: String,
    /// What the user may do.
    pub access: Level,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Pull.
    Read,
    /// Pull, push and delete.
    Write,
}

/// Who sent a request, by its `Authorization`.
#[derive(Clone)]
pub(super) enum Caller {
    /// No credentials.
    Anonymous,
    /// Credentials that are not ours.
    Stranger,
    /// A user with the right password.
    User(User),
    /// A token of ours, with its user where it has one that still exists.
    Token(Claims, Option<User>),
}

impl User {
    /// Whether this is allowed to the user.
    #[must_use]
    pub fn may(&self, action: Action) -> bool {
        match self.access {
            Level::Read => action == Action::Pull,
            Level::Write => true,
        }
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({}, {:?})", self.name, self.access)
    }
}

impl Caller {
    /// The name for the log.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Anonymous | Self::Token(_, None) => "-",
            Self::Stranger => "?",
            Self::User(user) | Self::Token(_, Some(user)) => &user.name,
        }
    }
}

/// Name and password of `Authorization: Basic` (RFC 7617).
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let text = BASE64_STANDARD.decode(credentials(headers, "basic")?).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// What follows the scheme in `Authorization` (RFC 9110, section 11.4).
pub(super) fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (named, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}
