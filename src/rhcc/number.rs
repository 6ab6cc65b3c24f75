use std::collections::BTreeSet;

use super::Error;
use crate::oci::Tag;

/// Each of them is a request.
const MAX_LATER: usize = 100;

/// The rebuild numbers of a base that tags have: tags are `<base>-<number>`, with `-amd64` or `-arm64` behind it
/// from times when there were no indexes.
#[derive(Debug)]
pub struct Numbers {
    base: Tag,
    taken: BTreeSet<u64>,
    /// The base as a tag is there, and is the unique tag of another base.
    is_unique_tag: bool,
}

impl Numbers {
    /// Those among these tags.
    #[must_use]
    pub fn of(base: &Tag, tags: &[Tag]) -> Self {
        let taken: BTreeSet<u64> =
            tags.iter().filter_map(|tag| number(base.as_str(), tag.as_str())).collect();
        let looks_unique = base.as_str().rsplit_once('-').is_some_and(|(stem, number)| {
            !stem.is_empty() && !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit())
        });
        let is_unique_tag = looks_unique && taken.is_empty() && tags.contains(base);
        Self { base: base.clone(), taken, is_unique_tag }
    }

    /// The first that is higher than all of them.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.taken.last().map_or(1, |highest| highest.saturating_add(1))
    }

    /// Whether one may be given to an image; `adopted` is one that has it already.
    ///
    /// # Errors
    /// It, or a higher one, was given before; or the base is what another image was certified under.
    pub fn allow(&self, number: u64, adopted: bool) -> Result<(), Error> {
        let base = &self.base;
        if self.is_unique_tag {
            return Err(Error::Refused(format!(
                "the tag {base} is there and looks like a rebuild of another base; it would be moved"
            )));
        }
        let bars = |taken: &&u64| if adopted { **taken > number } else { **taken >= number };
        match self.taken.last().filter(bars) {
            None => Ok(()),
            Some(highest) => Err(Error::Refused(format!(
                "{base}-{highest} is there; rebuild numbers only grow, the next is {}",
                self.next()
            ))),
        }
    }

    /// The tags of later rebuilds, the latest first and no more than anybody makes.
    pub(super) fn later(&self, number: u64) -> Vec<Tag> {
        let later = self.taken.iter().rev().take_while(|taken| **taken > number);
        later
            .take(MAX_LATER)
            .filter_map(|later| format!("{}-{later}", self.base).parse().ok())
            .collect()
    }
}

fn number(base: &str, tag: &str) -> Option<u64> {
    let rest = tag.strip_prefix(base)?.strip_prefix('-')?;
    let rest = rest.strip_suffix("-amd64").or(rest.strip_suffix("-arm64")).unwrap_or(rest);
    rest.bytes().all(|byte| byte.is_ascii_digit()).then(|| rest.parse().ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn numbers(base: &str, tags: &[&str]) -> Numbers {
        let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        Numbers::of(&base.parse().unwrap(), &tags)
    }

    #[test]
    fn a_base_does_not_see_the_numbers_of_another() {
        let tags = [
            "7.6.1-1",
            "7.6.1-2-arm64",
            "7.6.10-9",
            "7.6.1-rhcc",
            "7.6.1-",
            "7x6.1-8",
            "7.6.1-3-s390x",
        ];
        assert_eq!(numbers("7.6.1", &tags).next(), 3);
        assert_eq!(numbers("7.6.10", &tags).next(), 10);
        assert_eq!(numbers("7.6.0-MP1", &["7.6.0-MP1-4", "7.6.0-9"]).next(), 5);
        assert_eq!(numbers("7.6.0", &["7.6.0-MP1-4", "7.6.0-99999999999999999999"]).next(), 1);
        assert_eq!(numbers("8.0.0", &[]).next(), 1);
    }

    #[test]
    fn numbers_only_grow() {
        let numbers = numbers("7.6.1", &["7.6.1-2-arm64", "7.6.1-4"]);
        for taken in [1, 2, 3, 4] {
            let error = numbers.allow(taken, false).unwrap_err().to_string();
            assert!(error.contains("7.6.1-4") && error.contains("the next is 5"), "{error}");
        }
        numbers.allow(5, false).unwrap();
        numbers.allow(4, true).unwrap();
        assert!(numbers.allow(2, true).is_err());
        assert_eq!(numbers.later(2), ["7.6.1-4".parse().unwrap()]);
        let many: Vec<String> = (1..1000).map(|number| format!("7.6.1-{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let later = self::numbers("7.6.1", &many).later(1);
        assert_eq!((later.len(), later[0].as_str()), (MAX_LATER, "7.6.1-999"));
    }

    #[test]
    fn the_unique_tag_of_one_base_is_no_base() {
        assert!(numbers("7.6.1-1", &["7.6.1-1"]).allow(1, false).is_err());
        for tags in [&["7.6.1-1", "7.6.1-1-3"][..], &["7.6.1"], &[]] {
            numbers("7.6.1-1", tags).allow(4, false).unwrap();
        }
        numbers("7.6.0-MP1", &["7.6.0-MP1"]).allow(1, false).unwrap();
    }
}
