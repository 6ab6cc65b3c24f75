use std::fmt;
use std::str::FromStr;

use super::Error;
use crate::oci::Tag;

/// What stands before a tag while its image waits for promotion: `change_<number>` for changes, the
/// pipeline's name for everything else. The form is that of the `zuul-jobs` upload roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemporaryPrefix {
    /// A change, by `zuul.change`.
    Change(Word),
    /// A branch, tag or timer item, by `zuul.pipeline`.
    Pipeline(Word),
}

/// A text that may start a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(String);

impl TemporaryPrefix {
    /// The temporary tag of `tag`.
    ///
    /// # Errors
    /// A tag longer than 128 characters.
    pub fn tag(&self, tag: &Tag) -> Result<Tag, Error> {
        format!("{self}_{tag}")
            .parse()
            .map_err(|error| Error::value(format!("temporary tag of `{tag}`"), error))
    }
}

impl fmt::Display for TemporaryPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change(Word(number)) => write!(f, "change_{number}"),
            Self::Pipeline(Word(name)) => f.write_str(name),
        }
    }
}

impl FromStr for Word {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        value.parse::<Tag>().map_err(|error| Error::value("change or pipeline", error))?;
        Ok(Self(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_change_or_pipeline_that_cannot_be_in_a_tag_is_refused() {
        for word in ["", "a b", "a/b", "-x"] {
            assert!(word.parse::<Word>().is_err(), "{word}");
        }
        let prefix = TemporaryPrefix::Change("1".parse().unwrap());
        assert!(prefix.tag(&"x".repeat(120).parse().unwrap()).is_err());
    }

    #[test]
    fn the_forms_are_those_of_zuul_jobs() {
        let latest: Tag = "latest".parse().unwrap();
        let change = TemporaryPrefix::Change("12345".parse().unwrap());
        assert_eq!(change.tag(&latest).unwrap().as_str(), "change_12345_latest");
        let pipeline = TemporaryPrefix::Pipeline("periodic".parse().unwrap());
        assert_eq!(pipeline.tag(&latest).unwrap().as_str(), "periodic_latest");
    }
}
