use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::{self, HeaderMap, HeaderName};
use serde::Deserialize;

use super::rules::Pattern;
use super::signer::Claims;
use crate::auth::Action;
use crate::oci::RepositoryName;

/// Somebody who may log in.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Password; the file that holds it is the owner's alone.
    #[serde(rename = "pass")]
    pub password: String,
    /// What the user may do.
    pub access: Level,
    /// Where the user may write; left out: everywhere.
    pub repositories: Option<Vec<Pattern>>,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Pull.
    Read,
    /// Pull, push and delete.
    Write,
}

/// What somebody may do where.
#[derive(Debug, Clone)]
pub(super) struct Rights {
    level: Level,
    /// Nothing: everywhere.
    writes: Option<Vec<Pattern>>,
}

/// A user of ours, without the password.
#[derive(Debug)]
pub(in crate::registry) struct Account {
    pub(in crate::registry) name: String,
    pub(super) rights: Rights,
    /// Stands in tokens for the password they were given for: with another password they end.
    pub(super) mark: String,
}

/// Who sent a request, by its `Authorization`.
#[derive(Clone)]
pub(in crate::registry) enum Caller {
    /// No credentials.
    Anonymous,
    /// Credentials that are not ours.
    Stranger,
    /// A user with the right password.
    User(Arc<Account>),
    /// A token of ours, with its user where it has one that still exists.
    Token(Claims, Option<Arc<Account>>),
    /// Too many logins are being looked at to look at this one.
    Busy,
}

impl Rights {
    pub(in crate::registry) fn new(level: Level, writes: Option<Vec<Pattern>>) -> Self {
        Self { level, writes }
    }

    /// Whether there may be a repository to write to.
    pub(super) fn write_somewhere(&self) -> bool {
        self.level == Level::Write
    }

    /// Whether this is allowed in a repository, by its canonical name.
    pub(in crate::registry) fn may(&self, action: Action, key: &RepositoryName) -> bool {
        match (action, self.level, &self.writes) {
            (Action::Pull, ..) | (_, Level::Write, None) => true,
            (_, Level::Read, _) => false,
            (_, Level::Write, Some(patterns)) => {
                patterns.iter().any(|pattern| pattern.matches(key))
            }
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
    pub(in crate::registry) fn name(&self) -> &str {
        match self {
            Self::Anonymous | Self::Token(_, None) => "-",
            Self::Stranger | Self::Busy => "?",
            Self::User(user) | Self::Token(_, Some(user)) => &user.name,
        }
    }
}

/// Name and password of `Authorization: Basic` (RFC 7617).
pub(in crate::registry) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    name_and_password(headers, &header::AUTHORIZATION)
}

/// Name and password of `Proxy-Authorization: Basic` (RFC 9110, section 11.7.2).
pub(in crate::registry) fn proxy_login(headers: &HeaderMap) -> Option<(String, String)> {
    name_and_password(headers, &header::PROXY_AUTHORIZATION)
}

fn name_and_password(headers: &HeaderMap, field: &HeaderName) -> Option<(String, String)> {
    let text = BASE64_STANDARD.decode(after_scheme(headers, field, "basic")?).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// What follows the scheme in `Authorization` (RFC 9110, section 11.4).
pub(in crate::registry) fn credentials<'a>(
    headers: &'a HeaderMap,
    scheme: &str,
) -> Option<&'a str> {
    after_scheme(headers, &header::AUTHORIZATION, scheme)
}

fn after_scheme<'a>(headers: &'a HeaderMap, field: &HeaderName, scheme: &str) -> Option<&'a str> {
    let (named, rest) = headers.get(field)?.to_str().ok()?.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}
