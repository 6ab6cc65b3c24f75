//! The names of registries as image names spell them.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::Error;

/// Refuses what FromStr of a single value cannot see: a name given twice, or a search entry that is no
/// registry.
pub(super) fn check(namespaces: &[Namespace], unqualified: &[String]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for namespace in namespaces {
        if !seen.insert(namespace.name.to_ascii_lowercase()) {
            return Err(Error::Duplicate(namespace.name.clone()));
        }
    }
    match unqualified.iter().find(|name| !is_registry(name)) {
        Some(name) => Err(Error::Unqualified(name.clone())),
        None => Ok(()),
    }
}

/// A registry whose images are looked up in the buildset registry first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// As image names spell it: `quay.io`, `registry.example.org:5443`.
    pub name: String,
    /// Where its images really are: `https://registry-1.docker.io`.
    pub url: String,
}

impl Namespace {
    /// The registries redirected when a site names none.
    pub fn defaults() -> Vec<Self> {
        let same = |name: &str| Self { name: name.to_owned(), url: format!("https://{name}") };
        let mut all: Vec<Self> =
            ["docker.io", "quay.io", "gcr.io", "registry.k8s.io"].map(same).into();
        for namespace in all.iter_mut().filter(|n| n.name == "docker.io") {
            namespace.url = "https://registry-1.docker.io".to_owned();
        }
        all
    }

    /// Where the buildset registry keeps this registry's images: docker.io at the root, every other
    /// below its name, a port written with `_`.
    pub(super) fn mirror(&self, endpoint: &str) -> String {
        match self.name.as_str() {
            "docker.io" => endpoint.to_owned(),
            name => format!("{endpoint}/{}", name.replace(':', "_")),
        }
    }
}

impl FromStr for Namespace {
    type Err = Error;

    /// Reads `NAME=URL`; `NAME` alone means `https://NAME`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::Namespace(text.to_owned());
        let (name, url) = match text.split_once('=') {
            Some((name, url)) => (name, url.trim_end_matches('/').to_owned()),
            None => (text, format!("https://{text}")),
        };
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if !is_registry(name) || !host.is_some_and(is_location) {
            return Err(bad());
        }
        Ok(Self { name: name.to_owned(), url })
    }
}

/// `HOST[:PORT]`, and no path.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n > 0)
    };
    let is_label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// `HOST[:PORT][/PATH]`; a `..` would lead a client to somebody else's images.
fn is_location(text: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_' | '[' | ']');
    text.split('/').all(|segment| !matches!(segment, "" | "." | "..") && segment.chars().all(plain))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_namespace_that_would_break_a_file_is_refused() {
        for text in ["", "=https://x", "quay.io=ftp://x", "a b", "quay.io=https://x\"\n"] {
            assert!(text.parse::<Namespace>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_url_that_climbs_out_of_its_path_is_refused() {
        for text in ["a=https://x/../y", "a=https://x/..", "a=https://..", "a=https://x//y", ".."] {
            assert!(text.parse::<Namespace>().is_err(), "{text:?}");
        }
        assert_eq!("a=https://x/y..z/".parse::<Namespace>().unwrap().url, "https://x/y..z");
    }

    #[test]
    fn an_unqualified_registry_is_a_host_and_no_path() {
        for text in
            ["", "docker.io/library", "https://docker.io", "a:b", "a:0", "a:1:2", "a b", "-\n"]
        {
            assert!(
                matches!(check(&[], &[text.to_owned()]), Err(Error::Unqualified(_))),
                "{text:?}"
            );
        }
        check(&[], &["localhost".to_owned(), "reg.example:5000".to_owned()]).unwrap();
    }

    #[test]
    fn a_namespace_given_twice_is_refused() {
        let twice: Vec<Namespace> =
            ["quay.io", "Quay.io=https://other"].map(|text| text.parse().unwrap()).into();
        assert!(matches!(check(&twice, &[]), Err(Error::Duplicate(_))));
        check(&Namespace::defaults(), &[]).unwrap();
    }
}
