use super::Error;
use crate::oci::{Registry, RepositoryName};

/// A repository as a client spells it, and the name it is kept under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repository {
    /// As it stands in the path; answers repeat it.
    pub(super) asked: RepositoryName,
    /// The `ns` parameter, where there was one; Locations repeat it.
    pub(super) namespace: Option<String>,
    /// The one name for all spellings.
    pub(super) key: RepositoryName,
}

impl Repository {
    /// A name in a path with the `ns` parameter that containerd and buildkit send to mirrors: `ns`
    /// names the registry unless the path does; where both do, they must agree. Without any it is
    /// Docker Hub's.
    pub(super) fn new(asked: RepositoryName, namespace: Option<&str>) -> Result<Self, Error> {
        let namespace = namespace.filter(|text| !text.is_empty());
        let key = match namespace {
            None => asked.canonical(),
            Some(text) => {
                let registry = text.parse::<Registry>().map_err(Error::Invalid)?;
                place(&asked, &registry)?
            }
        };
        Ok(Self { asked, namespace: namespace.map(str::to_owned), key })
    }

    /// A repository of a registry that is named elsewhere: whatever the name looks like, it is one there.
    /// Docker Hub has none that looks like another registry.
    pub(super) fn of(registry: &Registry, asked: RepositoryName) -> Option<Self> {
        let first = asked.as_str().split('/').next().unwrap_or_default();
        let key = match (registry.is_docker_hub(), Registry::is_named_by(first)) {
            (true, true) => return None,
            (true, false) => asked.canonical(),
            (false, _) => format!("{}/{asked}", registry.path_component()).parse().ok()?,
        };
        Some(Self { asked, namespace: None, key })
    }

    /// The path of something in it, spelled as the client spelled it. Locations are relative: clients
    /// come through tunnels, and send their credentials only to where they were headed.
    pub(super) fn location(&self, path: &str) -> String {
        let mut location = format!("/v2/{}/{path}", self.asked);
        if let Some(namespace) = &self.namespace {
            let separator = if path.contains('?') { '&' } else { '?' };
            let namespace = url::form_urlencoded::byte_serialize(namespace.as_bytes());
            location.push(separator);
            location.push_str("ns=");
            location.extend(namespace);
        }
        location
    }
}

fn place(asked: &RepositoryName, registry: &Registry) -> Result<RepositoryName, Error> {
    let conflict =
        || Error::NamespaceConflict { name: asked.to_string(), namespace: registry.to_string() };
    let named = asked.as_str().split_once('/').map(|(first, _)| first);
    if registry.is_docker_hub() {
        return match named.filter(|first| Registry::is_named_by(first)) {
            Some(first) if first != "docker.io" => Err(conflict()),
            _ => Ok(asked.canonical()),
        };
    }
    let prefix = registry.path_component();
    match named {
        Some(first) if first == prefix => Ok(asked.clone()),
        Some(first) if Registry::is_named_by(first) => Err(conflict()),
        _ => format!("{prefix}/{asked}").parse().map_err(Error::Invalid),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(name: &str, namespace: Option<&str>) -> Result<String, Error> {
        let repository = Repository::new(name.parse().unwrap(), namespace)?;
        assert_eq!(repository.asked.as_str(), name);
        Ok(repository.key.to_string())
    }

    #[test]
    fn a_path_and_a_namespace_that_disagree_are_refused() {
        for (name, namespace) in [
            ("quay.io/org/img", "docker.io"),
            ("quay.io/org/img", "ghcr.io"),
            ("docker.io/org/img", "quay.io"),
            ("localhost/img", "quay.io"),
            ("quay.io/org/img", "quay.io:8443"),
        ] {
            let result = key(name, Some(namespace));
            assert!(matches!(result, Err(Error::NamespaceConflict { .. })), "{name}");
        }
    }

    #[test]
    fn a_namespace_that_is_no_registry_is_refused() {
        for namespace in ["a/b", "..", "quay.io/", "a b", "[nope]", "\u{e9}"] {
            assert!(key("img", Some(namespace)).is_err(), "{namespace}");
        }
    }

    #[test]
    fn a_name_that_looks_like_a_registry_is_a_name_where_the_registry_is_known() {
        let key = |registry: &str, name: &str| {
            let found = Repository::of(&registry.parse().unwrap(), name.parse().unwrap());
            found.map(|repository| repository.key.to_string())
        };
        assert_eq!(key("docker.io", "quay.io/org/img"), None);
        assert_eq!(key("docker.io", "docker.io/img"), None);
        for (registry, name, expected) in [
            ("gcr.io", "google.com/project/img", "gcr.io/google.com/project/img"),
            ("quay.io", "quay.io/img", "quay.io/quay.io/img"),
            ("quay.io", "library/img", "quay.io/library/img"),
            ("h.example:5000", "img", "h.example_5000/img"),
            ("registry-1.docker.io", "library/img", "img"),
        ] {
            assert_eq!(key(registry, name).as_deref(), Some(expected));
        }
    }

    #[test]
    fn every_spelling_has_one_key() {
        for (name, namespace, expected) in [
            ("x", None, "x"),
            ("library/x", None, "x"),
            ("docker.io/library/x", None, "x"),
            ("library/x", Some("docker.io"), "x"),
            ("docker.io/library/x", Some("docker.io"), "x"),
            ("library/x", Some("registry-1.docker.io"), "x"),
            ("x", Some(""), "x"),
            ("org/img", Some("docker.io"), "org/img"),
            ("quay.io/org/img", None, "quay.io/org/img"),
            ("org/img", Some("quay.io"), "quay.io/org/img"),
            ("org/img", Some("QUAY.io"), "quay.io/org/img"),
            ("org/img", Some("[::1]:5000"), "ipv6-0-0-0-0-0-0-0-1_5000/org/img"),
            ("quay.io/org/img", Some("quay.io"), "quay.io/org/img"),
            ("img", Some("host.example:5000"), "host.example_5000/img"),
            ("host.example_5000/img", Some("host.example:5000"), "host.example_5000/img"),
            ("localhost_5000/img", Some("localhost:5000"), "localhost_5000/img"),
        ] {
            assert_eq!(key(name, namespace).unwrap(), expected, "{name} {namespace:?}");
        }
    }
}
