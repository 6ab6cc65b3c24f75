use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use fancy_regex::Regex;
use serde::Deserialize;

use super::{Document, Error, Secrecy};
use crate::oci::Registry;

/// The `container_registry_credentials` variable: logins by registry name.
#[derive(Debug, Default)]
pub struct RegistryCredentials(BTreeMap<String, RegistryLogin>);

/// One login of `container_registry_credentials`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryLogin {
    /// Login name.
    pub username: String,
    /// Login password.
    pub password: String,
    /// Python-style regular expression; the full repository must match somewhere.
    repository: Option<String>,
    /// Token of a registry's web API, for the deletion of tags.
    pub api_token: Option<String>,
    /// Kind of the web API: `quay` or `docker`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Base URL of the web API.
    pub api_url: Option<String>,
}

impl RegistryCredentials {
    /// Reads the mapping from a YAML or JSON file, bare or below `container_registry_credentials`.
    ///
    /// # Errors
    /// Names file, line and column, never the text, which holds passwords.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(&Document::read(path, Secrecy::Secret)?)
    }

    fn parse(document: &Document) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Wrapped {
            container_registry_credentials: BTreeMap<String, RegistryLogin>,
        }
        // A site's variable file may be given whole; no registry has the variable's name.
        let keys: BTreeMap<String, serde::de::IgnoredAny> = document.parse()?;
        let logins = if keys.contains_key("container_registry_credentials") {
            document.parse::<Wrapped>()?.container_registry_credentials
        } else {
            document.parse()?
        };
        for (registry, login) in &logins {
            let item = || format!("{}: credentials of `{registry}`", document.file());
            registry.parse::<Registry>().map_err(|error| Error::value(item(), error))?;
            if let Some(Err(error)) = login.expression() {
                return Err(Error::value(
                    item(),
                    format!("`repository` is no expression: {error}"),
                ));
            }
        }
        Ok(Self(logins))
    }

    /// Every login with its registry.
    pub fn iter(&self) -> impl Iterator<Item = (Registry, &RegistryLogin)> {
        self.0.iter().filter_map(|(registry, login)| Some((registry.parse().ok()?, login)))
    }

    /// The login `registry`, if it may be used for `repository` (a full name with registry).
    ///
    /// # Errors
    /// No such login, or the login's `repository` expression does not match.
    pub fn login_for(&self, registry: &str, repository: &str) -> Result<&RegistryLogin, Error> {
        let login = self.0.get(registry).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            Error::value(
                repository,
                format!(
                    "no credentials for registry `{registry}` (container_registry_credentials has: {})",
                    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                ),
            )
        })?;
        match login.expression() {
            None => Ok(login),
            Some(Ok(expression)) if expression.is_match(repository).unwrap_or(false) => Ok(login),
            Some(_) => Err(Error::value(
                repository,
                format!(
                    "the credentials of `{registry}` are only for repositories that match `{}`",
                    login.repository.as_deref().unwrap_or_default()
                ),
            )),
        }
    }
}

impl RegistryLogin {
    fn expression(&self) -> Option<Result<Regex, fancy_regex::Error>> {
        self.repository.as_deref().map(Regex::new)
    }
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryLogin({}, repository: {:?})", self.username, self.repository)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Result<RegistryCredentials, Error> {
        RegistryCredentials::parse(&Document::new("login.yaml", text))
    }

    #[test]
    fn a_repository_outside_the_expression_is_refused_by_name() {
        let logins =
            read("quay.io: {username: u, password: secret, repository: '^quay.io/org/'}").unwrap();
        assert!(logins.login_for("quay.io", "quay.io/org/img").is_ok());
        let error = logins.login_for("quay.io", "quay.io/other/img").unwrap_err().to_string();
        assert!(error.contains("quay.io/other/img") && error.contains("^quay.io/org/"), "{error}");
        let error = logins.login_for("ghcr.io", "ghcr.io/x").unwrap_err().to_string();
        assert!(error.contains("no credentials for registry `ghcr.io`"), "{error}");
        assert!(!format!("{logins:?}").contains("secret"));
    }

    #[test]
    fn the_expression_is_searched_and_may_look_around() {
        let logins =
            read("quay.io: {username: u, password: p, repository: 'org/(?!secret)'}").unwrap();
        assert!(logins.login_for("quay.io", "quay.io/org/img").is_ok());
        assert!(logins.login_for("quay.io", "quay.io/org/secret").is_err());
    }

    #[test]
    fn a_broken_expression_or_key_is_refused_when_read() {
        assert!(read("quay.io: {username: u, password: p, repository: '('}").is_err());
        assert!(read("quay.io: {username: u, password: p, tokn: x}").is_err());
        assert!(read("'not a host': {username: u, password: p}").is_err());
    }

    #[test]
    fn the_variable_may_be_wrapped() {
        let text = "container_registry_credentials:\n  quay.io: {username: u, password: p}\n";
        assert_eq!(read(text).unwrap().iter().count(), 1);
    }
}
