//! How a tag is removed: by its registry (distribution-spec, "Deleting tags"), or by the web API of
//! registries that do not delete tags over theirs. Always by tag: by digest every other tag of the image
//! would go, too.
//!
//! Which of them says the registry's login (`type`, `api_url` and `api_token` of
//! `container_registry_credentials`), else its name.

use crate::auth::{Credentials, Secret};
use crate::client::{self, Client, Deleted, Repository};
use crate::oci::{Reference, Registry, Tag};
use crate::webapi::{self, ApiUrl, Hub, Quay, TagApi};
use crate::zuul::{ApiKind, RegistryCredentials, RegistryLogin};

/// Removes tags, from each registry as it wants it.
#[derive(Debug, Clone, Default)]
pub struct TagRemover {
    apis: Vec<(Registry, TagApi)>,
}

/// Why a tag is not removed, or cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry failed or refused.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// Its web API did.
    #[error(transparent)]
    Api(#[from] webapi::Error),
    /// A login that says a kind of web API, but not where it is.
    #[error(
        "the credentials of `{0}` say `type: docker`, but it is not Docker Hub; name its API as `api_url`, else \
         its login would be sent to Docker Hub's"
    )]
    NoUrl(Registry),
    /// A URL that was not given with the login, and leads elsewhere.
    #[error(
        "the web API {url} is not on the host of {registry}, whose login would be sent there; if that is \
         right, name it as `api_url` in the credentials"
    )]
    Elsewhere {
        /// Whose login.
        registry: Registry,
        /// Where it would go.
        url: String,
    },
}

impl TagRemover {
    /// Learns how tags of these registries are removed. `api_url` is where their web API is, where the
    /// credentials do not say it. No web API is asked.
    ///
    /// # Errors
    /// Credentials that do not fit together, and an `api_url` to which no login is sent.
    pub async fn new(
        client: &Client,
        credentials: Option<&RegistryCredentials>,
        registries: impl IntoIterator<Item = Registry>,
        api_url: Option<&ApiUrl>,
    ) -> Result<Self, Error> {
        let mut remover = Self::default();
        for registry in registries {
            if remover.api(&registry).is_some() {
                continue;
            }
            let login = credentials.and_then(|credentials| credentials.of(&registry));
            if let Some(api) = api(client, &registry, login, api_url).await? {
                remover.apis.push((registry, api));
            }
        }
        Ok(remover)
    }

    /// The web API of a registry, if it has one that is known.
    #[must_use]
    pub fn api(&self, registry: &Registry) -> Option<&TagApi> {
        self.apis.iter().find(|(known, _)| known.is_same(registry)).map(|(_, api)| api)
    }

    /// Removes a tag and nothing else.
    ///
    /// # Errors
    /// Answers that are neither success nor absence nor refusal on principle.
    pub async fn remove(&self, repository: &Repository, tag: &Tag) -> Result<Deleted, Error> {
        match self.api(repository.registry()).filter(|api| api.has_login()) {
            None => Ok(repository.delete(&Reference::Tag(tag.clone())).await?),
            Some(api) if api.delete_tag(repository.name(), tag).await? => Ok(Deleted::Done),
            Some(_) => Ok(Deleted::Absent),
        }
    }
}

async fn api(
    client: &Client,
    registry: &Registry,
    login: Option<&RegistryLogin>,
    api_url: Option<&ApiUrl>,
) -> Result<Option<TagApi>, Error> {
    let token = login.and_then(|login| login.api_token.as_deref()).map(Secret::new);
    let kind = match login.and_then(|login| login.kind) {
        Some(kind) => kind,
        None if registry.is_docker_hub() => ApiKind::Docker,
        None if registry.host() == "quay.io" || token.is_some() => ApiKind::Quay,
        None => return Ok(None),
    };
    let url = place(registry, kind, login, api_url)?;
    Ok(Some(match kind {
        ApiKind::Quay => TagApi::Quay(Quay::new(client.http(), &url, token.as_ref())?),
        ApiKind::Docker => {
            // What only the registry takes cannot be exchanged at the API.
            let known = client.login(registry).await?;
            let known = known.filter(|known| known.identity_token().is_none());
            let known = known.map(|Credentials { username, password }| Credentials {
                username,
                password: token.unwrap_or(password),
            });
            TagApi::Hub(Hub::new(client.http(), &url, known)?)
        }
    }))
}

/// Where the web API of a registry is. What is not said with the login must be on the registry's own
/// host: whoever can set a variable of a job could have the login sent to themselves.
fn place(
    registry: &Registry,
    kind: ApiKind,
    login: Option<&RegistryLogin>,
    api_url: Option<&ApiUrl>,
) -> Result<ApiUrl, Error> {
    if let Some(url) = login.and_then(|login| login.api_url.as_deref()) {
        return Ok(url.parse()?);
    }
    let own = match kind {
        ApiKind::Quay => Quay::url_of(registry).parse::<ApiUrl>()?,
        ApiKind::Docker if registry.is_docker_hub() => Hub::URL.parse()?,
        ApiKind::Docker => return Err(Error::NoUrl(registry.clone())),
    };
    match api_url {
        None => Ok(own),
        Some(url) if url.place() == own.place() => Ok(url.clone()),
        Some(url) => Err(Error::Elsewhere { registry: registry.clone(), url: url.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn place_of(registry: &str, kind: ApiKind, api_url: Option<&str>) -> Result<String, String> {
        let api_url = api_url.map(|url| url.parse::<ApiUrl>().unwrap());
        let place = place(&registry.parse().unwrap(), kind, None, api_url.as_ref());
        place.map(|url| url.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_login_is_not_sent_to_a_place_that_did_not_come_with_it() {
        for (registry, kind, url) in [
            ("quay.io", ApiKind::Quay, "https://evil.example/api/v1"),
            ("quay.io", ApiKind::Quay, "https://quay.io.evil.example/"),
            ("quay.io", ApiKind::Quay, "https://quay.io:8443/"),
            ("docker.io", ApiKind::Docker, "https://docker.io/"),
        ] {
            let error = place_of(registry, kind, Some(url)).unwrap_err();
            assert!(error.contains("api_url"), "{error}");
        }
        assert!(place_of("registry.example", ApiKind::Docker, None).is_err());
    }

    #[test]
    fn an_api_is_at_its_registry_unless_something_else_is_said() {
        let hub = Ok("https://hub.docker.com/v2".to_owned());
        assert_eq!(place_of("registry-1.docker.io", ApiKind::Docker, None), hub);
        let own = place_of("q.example:8443", ApiKind::Quay, None);
        assert_eq!(own, Ok("https://q.example:8443/api/v1".to_owned()));
        let below = place_of("q.example", ApiKind::Quay, Some("https://q.example/quay/api/v1"));
        assert_eq!(below, Ok("https://q.example/quay/api/v1".to_owned()));
    }
}
