use serde::Deserialize;

use crate::oci::{Registry, RepositoryName};

/// Repositories in a configuration: one by its name, all below a name with `/*` at its end, or all of
/// them, `*`. A pattern means repositories, not spellings: `docker.io/library/x`, `library/x` and `x`
/// are one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    All,
    One(RepositoryName),
    /// The full spelling of what a name starts with, up to a slash.
    Below(String),
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no pattern of repositories: write a name such as quay.io/org/app, all below one such as \
     quay.io/org/*, or * for all"
)]
pub struct InvalidPattern(String);

impl Pattern {
    /// Whether a repository, by its canonical name, is meant.
    pub(in crate::registry) fn matches(&self, key: &RepositoryName) -> bool {
        match &self.0 {
            Kind::All => true,
            Kind::One(name) => name == key,
            Kind::Below(start) => full(key).starts_with(start),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        let invalid =
            || InvalidPattern(text.chars().take(80).flat_map(char::escape_debug).collect());
        if text == "*" {
            return Ok(Self(Kind::All));
        }
        let (name, below) = match text.strip_suffix("/*") {
            Some(name) => (name, true),
            None => (text.as_str(), false),
        };
        let name: RepositoryName = in_path(name).ok_or_else(invalid)?;
        if below {
            return Ok(Self(Kind::Below(start(&name))));
        }
        Ok(Self(Kind::One(name.canonical())))
    }
}

/// A registry with a port stands in paths as `host_port`.
fn in_path(name: &str) -> Option<RepositoryName> {
    match name.split_once('/') {
        Some((registry, rest)) if registry.contains(':') => {
            let registry: Registry = registry.parse().ok()?;
            format!("{}/{rest}", registry.path_component()).parse().ok()
        }
        None if name.contains(':') => name.parse::<Registry>().ok()?.path_component().parse().ok(),
        _ => name.parse().ok(),
    }
}

/// The one spelling of a canonical name that shows registry and, for Docker Hub's own images, `library`.
fn full(key: &RepositoryName) -> String {
    match key.as_str().split_once('/') {
        None => format!("docker.io/library/{key}"),
        Some((first, _)) if Registry::is_named_by(first) => key.to_string(),
        Some(_) => format!("docker.io/{key}"),
    }
}

fn start(name: &RepositoryName) -> String {
    let first = name.as_str().split('/').next().unwrap_or_default();
    if Registry::is_named_by(first) { format!("{name}/") } else { format!("docker.io/{name}/") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Result<Pattern, InvalidPattern> {
        text.to_owned().try_into()
    }

    fn matches(text: &str, name: &str) -> bool {
        pattern(text).unwrap().matches(&name.parse::<RepositoryName>().unwrap().canonical())
    }

    #[test]
    fn what_is_no_pattern_is_refused_by_name() {
        for text in [
            "",
            "/*",
            "**",
            "*/*",
            "quay.io/*/img",
            "quay.io/org*",
            "quay.io/org/",
            "Quay.io/org",
            "quay.io/org/img:latest",
            "../*",
            "quay.io//*",
            "[::1/x",
            "a b",
        ] {
            let error = pattern(text).unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn a_name_means_one_repository_however_it_is_spelled() {
        for (text, name, expected) in [
            ("quay.io/org/app", "quay.io/org/app", true),
            ("quay.io/org/app", "quay.io/org/app/more", false),
            ("quay.io/org/app", "quay.io/org/apps", false),
            ("quay.io/org/app", "org/app", false),
            ("docker.io/library/x", "x", true),
            ("x", "docker.io/library/x", true),
            ("library/x", "docker.io/x", true),
            ("x", "docker.io/docker.io/x", true),
            ("org/app", "docker.io/org/app", true),
            ("host.example:5000/app", "host.example_5000/app", true),
            ("localhost/app", "app", false),
        ] {
            assert_eq!(matches(text, name), expected, "{text} {name}");
        }
    }

    #[test]
    fn a_star_at_the_end_means_everything_below() {
        for (text, name, expected) in [
            ("*", "anything/at/all", true),
            ("quay.io/*", "quay.io/org/app", true),
            ("quay.io/*", "quay.io.evil.example/app", false),
            ("quay.io/*", "quay.io", false),
            ("quay.io/org/*", "quay.io/org/a/b", true),
            ("quay.io/org/*", "quay.io/org", false),
            ("quay.io/org/*", "quay.io/organ/a", false),
            ("docker.io/*", "x", true),
            ("docker.io/*", "org/x", true),
            ("docker.io/*", "quay.io/org/x", false),
            ("docker.io/*", "localhost/x", false),
            ("docker.io/library/*", "x", true),
            ("library/*", "docker.io/library/x", true),
            ("library/*", "org/x", false),
            ("library/*", "library/x/y", true),
            ("org/*", "docker.io/org/x", true),
            ("docker.io/org/*", "org/x", true),
            ("org/*", "quay.io/org/x", false),
            ("host.example:5000/*", "host.example_5000/a", true),
            ("host.example:5000/*", "host.example/a", false),
        ] {
            assert_eq!(matches(text, name), expected, "{text} {name}");
        }
    }

    proptest! {
        #[test]
        fn no_spelling_evades_a_pattern(
            name in "(docker\\.io/){0,3}(library/){0,2}[a-z]{1,3}(/[a-z]{1,3}){0,2}",
            pattern_of in "(docker\\.io/)?(library/)?[a-z]{1,2}(/\\*)?",
        ) {
            let name: RepositoryName = name.parse().unwrap();
            let key = name.canonical();
            let pattern = pattern(&pattern_of).unwrap();
            let hub: RepositoryName = format!("docker.io/{key}").parse().unwrap();
            prop_assert_eq!(key.canonical(), key.clone());
            prop_assert_eq!(pattern.matches(&key), pattern.matches(&hub.canonical()));
        }
    }
}
