use std::collections::BTreeSet;
use std::str::FromStr;

use fancy_regex::Regex;

use crate::oci::{Tag, printable};
use crate::zuul::{TemporaryPrefix, Word};

/// Which tags may be leaked temporary ones. A declared final tag never is; it is listed where a pattern
/// matches it, so that nobody wonders.
#[derive(Debug, Clone)]
pub enum Candidates {
    /// Exactly what uploads make: `change_<digits>_<T>`, and `<pipeline>_<T>` of these pipelines, where T is
    /// a declared tag of the same repository. A tag that only looks like one, such as `release_latest` where
    /// no pipeline `release` is named, is none.
    Uploads {
        /// Pipelines whose uploads are of no change.
        pipelines: Vec<Word>,
    },
    /// Whatever matches: what somebody asked for by hand.
    Matching(Pattern),
}

/// A Python-style regular expression that a whole tag must match.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

/// A text that is no regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no regular expression: {reason}")]
pub struct InvalidPattern {
    text: String,
    reason: String,
}

impl Candidates {
    /// Whether a tag of a repository with these final tags may be a leaked one.
    pub(super) fn hold(&self, tag: &Tag, finals: &BTreeSet<Tag>) -> bool {
        match self {
            Self::Uploads { pipelines } => {
                !finals.contains(tag)
                    && (is_of_a_change(tag, finals) || is_of(pipelines, tag, finals))
            }
            Self::Matching(pattern) => pattern.matches(tag),
        }
    }
}

fn is_of_a_change(tag: &Tag, finals: &BTreeSet<Tag>) -> bool {
    let parts = tag.as_str().strip_prefix("change_").and_then(|rest| rest.split_once('_'));
    parts.is_some_and(|(number, of)| {
        !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && finals.iter().any(|declared| declared.as_str() == of)
    })
}

fn is_of(pipelines: &[Word], tag: &Tag, finals: &BTreeSet<Tag>) -> bool {
    pipelines.iter().any(|pipeline| {
        let prefix = TemporaryPrefix::Pipeline(pipeline.clone());
        finals.iter().any(|declared| prefix.tag(declared).is_ok_and(|temporary| temporary == *tag))
    })
}

impl Pattern {
    /// A pattern that takes too long to try matches nothing.
    fn matches(&self, tag: &Tag) -> bool {
        self.0.is_match(tag.as_str()).unwrap_or(false)
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |error: fancy_regex::Error| InvalidPattern {
            text: printable(text, 200),
            reason: printable(&error.to_string(), 200),
        };
        // By itself first: what only makes sense inside the other is none.
        Regex::new(text).map_err(invalid)?;
        Regex::new(&format!(r"\A(?:{text})\z")).map(Self).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hold(candidates: &Candidates, finals: &[&str], tag: &str) -> bool {
        let finals = finals.iter().map(|tag| tag.parse().unwrap()).collect();
        candidates.hold(&tag.parse().unwrap(), &finals)
    }

    fn uploads(pipelines: &[&str]) -> Candidates {
        Candidates::Uploads {
            pipelines: pipelines.iter().map(|name| name.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn what_only_looks_like_a_temporary_tag_is_none() {
        for tag in [
            "latest",
            "release_latest",
            "change_latest",
            "change__latest",
            "change_1a_latest",
            "change_1_",
            "change_1_other",
            "change_1_latest_2",
            "xchange_1_latest",
            "Change_1_latest",
            "change-1-latest",
            "periodic_latest",
            "gate_latest",
            // These digits are none in a change's number.
            "change_1_1.0",
        ] {
            assert!(!hold(&uploads(&["gate-docs"]), &["latest", "1.1"], tag), "{tag}");
        }
    }

    #[test]
    fn a_declared_final_tag_is_none_whatever_it_looks_like() {
        let finals = ["latest", "change_1_latest", "gate_latest"];
        for tag in ["change_1_latest", "gate_latest"] {
            assert!(!hold(&uploads(&["gate"]), &finals, tag), "{tag}");
        }
    }

    #[test]
    fn temporary_tags_of_every_declared_tag_are_found() {
        for tag in
            ["change_1_latest", "change_987654_1.1", "gate_latest", "gate_1.1", "change_1_a_b"]
        {
            assert!(hold(&uploads(&["periodic", "gate"]), &["latest", "1.1", "a_b"], tag), "{tag}");
        }
    }

    #[test]
    fn a_pattern_matches_a_whole_tag() {
        let pattern = |text: &str| Candidates::Matching(text.parse().unwrap());
        for (text, tag) in [
            ("change_", "change_1_latest"),
            ("latest", "change_1_latest"),
            ("a|ab", "abc"),
            ("^x$", "x_"),
        ] {
            assert!(!hold(&pattern(text), &[], tag), "{text} {tag}");
        }
        for (text, tag) in [
            ("a|ab", "ab"),
            ("^change_.*$|^gate_.*$", "change_x"),
            ("(?!change_1_).*", "change_2_x"),
        ] {
            assert!(hold(&pattern(text), &[], tag), "{text} {tag}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for text in ["(", "a)|(b", "*", "[a"] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_expression_that_takes_for_ever_matches_nothing() {
        let pattern = Candidates::Matching(r"(?:(a+)+\1)+b".parse().unwrap());
        assert!(!hold(&pattern, &[], &"a".repeat(100)));
    }
}
