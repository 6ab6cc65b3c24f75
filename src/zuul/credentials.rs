use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use fancy_regex::Regex;
use serde::Deserialize;

use super::{Document, Error, Secrecy, ZuulImage};
use crate::oci::{ImageReference, Registry};

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
    /// Kind of the web API.
    #[serde(rename = "type")]
    pub kind: Option<ApiKind>,
    /// Base URL of the web API.
    pub api_url: Option<String>,
}

/// `type` of a login: the kind of web API the registry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiKind {
    /// Quay's.
    Quay,
    /// Docker Hub's.
    Docker,
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

    /// The login of a registry.
    #[must_use]
    pub fn of(&self, registry: &Registry) -> Option<&RegistryLogin> {
        self.iter().find(|(known, _)| known.is_same(registry)).map(|(_, login)| login)
    }

    /// Whether `image` may be written: its login is there, is its own registry's, and allows it.
    ///
    /// # Errors
    /// Names the image and which of the three it is.
    pub fn allow(&self, image: &ZuulImage) -> Result<(), Error> {
        self.allow_in(&image.registry, &image.repository, &image.host()?)
    }

    /// Whether a repository, as a job spells it, in the registry `host` may be written with the login that
    /// the job names.
    pub(super) fn allow_in(
        &self,
        registry: &str,
        repository: &str,
        host: &Registry,
    ) -> Result<(), Error> {
        let Some(login) = self.0.get(registry) else {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let reason = format!(
                "no credentials for registry `{registry}` (container_registry_credentials has: {known})"
            );
            return Err(Error::value(repository, reason));
        };
        if !registry.parse::<Registry>().is_ok_and(|registry| registry.is_same(host)) {
            let reason = format!(
                "its `registry` is `{registry}`, but it is in `{host}`; a login goes to its own registry only"
            );
            return Err(Error::value(repository, reason));
        }
        login.allow(registry, repository)
    }

    /// Whether the login of its registry, if there is one, may be used for `image`.
    ///
    /// # Errors
    /// The login's `repository` expression does not match.
    pub fn allow_reference(&self, image: &ImageReference) -> Result<(), Error> {
        let repository = format!("{}/{}", image.registry, image.repository);
        let mut logins = self.iter().filter(|(registry, _)| registry.is_same(&image.registry));
        logins.try_for_each(|(registry, login)| login.allow(&registry.to_string(), &repository))
    }
}

impl RegistryLogin {
    fn allow(&self, registry: &str, repository: &str) -> Result<(), Error> {
        match self.expression() {
            None => Ok(()),
            Some(Ok(expression)) if expression.is_match(repository).unwrap_or(false) => Ok(()),
            Some(_) => {
                let rule = self.repository.as_deref().unwrap_or_default();
                let reason = format!(
                    "the credentials of `{registry}` are only for repositories that match `{rule}`"
                );
                Err(Error::value(repository, reason))
            }
        }
    }

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

    fn allow(logins: &RegistryCredentials, registry: &str, repository: &str) -> Result<(), String> {
        let image = ZuulImage {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tags: Vec::new(),
            digests: BTreeMap::new(),
        };
        logins.allow(&image).map_err(|error| error.to_string())
    }

    #[test]
    fn a_repository_outside_the_expression_is_refused_by_name() {
        let logins =
            read("quay.io: {username: u, password: secret, repository: '^quay.io/org/'}").unwrap();
        assert_eq!(allow(&logins, "quay.io", "quay.io/org/img"), Ok(()));
        let error = allow(&logins, "quay.io", "quay.io/other/img").unwrap_err();
        assert!(error.contains("quay.io/other/img") && error.contains("^quay.io/org/"), "{error}");
        let error = allow(&logins, "ghcr.io", "ghcr.io/x").unwrap_err();
        assert!(error.contains("no credentials for registry `ghcr.io`"), "{error}");
        assert!(!format!("{logins:?}").contains("secret"));
    }

    #[test]
    fn the_rule_of_a_login_cannot_be_evaded_by_naming_another_registry() {
        let logins = "quay.io: {username: u, password: p, repository: '/good/'}
ghcr.io: {username: u, password: p}
";
        let logins = read(logins).unwrap();
        let error = allow(&logins, "ghcr.io", "quay.io/evil/img").unwrap_err();
        assert!(error.contains("it is in `quay.io`"), "{error}");
        let image = |text: &str| text.parse::<ImageReference>().unwrap();
        assert!(logins.allow_reference(&image("quay.io/evil/img:x")).is_err());
        assert!(logins.allow_reference(&image("quay.io/good/img:x")).is_ok());
        assert!(logins.allow_reference(&image("else.example/evil/img:x")).is_ok());
    }

    #[test]
    fn the_expression_is_searched_and_may_look_around() {
        let logins =
            read("docker.io: {username: u, password: p, repository: 'org/(?!secret)'}").unwrap();
        assert_eq!(allow(&logins, "docker.io", "org/img"), Ok(()));
        assert!(allow(&logins, "docker.io", "docker.io/org/secret").is_err());
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
