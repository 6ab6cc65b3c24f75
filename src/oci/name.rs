use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Digest, Error, text_conversions};

/// A repository `<name>` of the distribution-spec: path components of lower-case letters and digits
/// with single separators, at most 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName(String);

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// What stands behind `/manifests/`: a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By name, may move.
    Tag(Tag),
    /// By content, never moves.
    Digest(Digest),
}

impl RepositoryName {
    const MAX_BYTES: usize = 255;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one spelling under which speculative images of Docker Hub are kept: `docker.io/` and a
    /// lone `library/` are dropped, so `x`, `library/x` and `docker.io/library/x` are one name.
    #[must_use]
    pub fn canonical(&self) -> Self {
        // However often it is named: the one spelling of the one spelling is itself.
        let name = self.0.trim_start_matches("docker.io/");
        let name = match name.strip_prefix("library/") {
            Some(rest) if !rest.contains('/') => rest,
            _ => name,
        };
        Self(name.to_owned())
    }
}

impl FromStr for RepositoryName {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let fail = |reason| Err(Error::Name { value: excerpt(value), reason });
        if value.len() > Self::MAX_BYTES {
            return fail("it is longer than 255 characters");
        }
        if !value.split('/').all(is_path_component) {
            return fail(
                "each part between slashes must be lower-case letters and digits, \
                 joined by `.`, `_`, `__` or dashes",
            );
        }
        Ok(Self(value.to_owned()))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    alphanumeric(*first)
        && alphanumeric(*last)
        && bytes
            .chunk_by(|left, right| alphanumeric(*left) == alphanumeric(*right))
            .filter(|run| !run.iter().copied().all(alphanumeric))
            .all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-'))
}

impl Tag {
    const MAX_BYTES: usize = 128;

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag of the index that lists what refers to `subject`, where the registry keeps no such list
    /// itself (distribution-spec, "Referrers Tag Schema").
    #[must_use]
    pub fn of_referrers(subject: &Digest) -> Self {
        let encoded: String = subject.hex().chars().take(64).collect();
        Self(format!("{}-{encoded}", subject.algorithm().as_str()))
    }
}

impl FromStr for Tag {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let fail = |reason| Err(Error::Tag { value: excerpt(value), reason });
        if value.is_empty() {
            return fail("it is empty");
        }
        if value.len() > Self::MAX_BYTES {
            return fail("it is longer than 128 characters");
        }
        if value.starts_with(['.', '-']) {
            return fail("it starts with `.` or `-`");
        }
        if !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
            return fail("only letters, digits, `_`, `.` and `-` are allowed");
        }
        Ok(Self(value.to_owned()))
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        if value.contains(':') {
            value.parse().map(Self::Digest)
        } else {
            value.parse().map(Self::Tag)
        }
    }
}

/// The value in an error message: bounded, and without control characters.
pub(super) fn excerpt(value: &str) -> String {
    value.chars().take(80).flat_map(char::escape_debug).collect()
}

text_conversions!(RepositoryName, Tag);

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl From<Tag> for Reference {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for Reference {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_names_outside_the_grammar() {
        for name in [
            "", "/", "a/", "/a", "a//b", "A", "a/B", "-a", "a-", "a..b", "a___b", "a._b", "a/../b",
            "a b", "a\0b", "é", "a:b", "_a",
        ] {
            assert!(name.parse::<RepositoryName>().is_err(), "{name:?}");
        }
        assert!("a".repeat(256).parse::<RepositoryName>().is_err());
    }

    #[test]
    fn takes_names_inside_the_grammar() {
        for name in
            ["a", "a/b", "a.b/c_d/e__f/g---h", "quay.io/org/img", "host.example_5000/x", "0"]
        {
            assert_eq!(name.parse::<RepositoryName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn spellings_of_docker_hub_are_one_name() {
        for (name, canonical) in [
            ("x", "x"),
            ("library/x", "x"),
            ("docker.io/library/x", "x"),
            ("docker.io/x", "x"),
            ("docker.io/docker.io/x", "x"),
            ("docker.io/docker.io", "docker.io"),
            ("org/img", "org/img"),
            ("docker.io/org/img", "org/img"),
            ("library/x/y", "library/x/y"),
            ("quay.io/library/x", "quay.io/library/x"),
        ] {
            assert_eq!(name.parse::<RepositoryName>().unwrap().canonical().as_str(), canonical);
        }
    }

    #[test]
    fn refuses_tags_outside_the_grammar() {
        for tag in ["", ".a", "-a", "a/b", "a b", "a:b", "ä", "a\n"] {
            assert!(tag.parse::<Tag>().is_err(), "{tag:?}");
        }
        assert!("a".repeat(129).parse::<Tag>().is_err());
        assert!("a".repeat(128).parse::<Tag>().is_ok());
    }

    #[test]
    fn the_tag_of_referrers_is_a_tag_for_long_digests_too() {
        use crate::oci::Algorithm;
        for (algorithm, start) in
            [(Algorithm::Sha256, "sha256-e3b0c442"), (Algorithm::Sha512, "sha512-cf83e135")]
        {
            let tag = Tag::of_referrers(&Digest::of(algorithm, b""));
            assert!(tag.as_str().starts_with(start), "{tag}");
            assert_eq!(tag.as_str().len(), 7 + 64);
            assert_eq!(tag.as_str().parse(), Ok(tag.clone()));
        }
    }

    proptest! {
        #[test]
        fn names_follow_the_specified_expression(
            name in "[a-z0-9]{1,3}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}(/[a-z0-9]{1,3}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}){0,3}"
        ) {
            prop_assert!(name.parse::<RepositoryName>().is_ok());
        }

        #[test]
        fn no_text_panics_and_none_escapes_its_folder(text in "\\PC{0,40}") {
            if let Ok(name) = text.parse::<RepositoryName>() {
                prop_assert!(!name.as_str().split('/').any(|part| part.is_empty() || part.starts_with('.')));
            }
        }
    }
}
