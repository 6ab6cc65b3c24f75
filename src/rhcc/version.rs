use std::fmt;
use std::str::FromStr;

/// A version of `preflight`: numbers with dots between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Vec<u64>);

impl Version {
    /// No version is below it.
    pub(super) const ANY: Self = Self(Vec::new());

    /// The version in what `--version` prints: `preflight version 1.16.0 <commit: …>`.
    pub(super) fn told(said: &str) -> Option<Self> {
        let released =
            |word: &str| word.trim_start_matches('v').split(['-', '+']).next()?.parse().ok();
        said.split_whitespace().find_map(released)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(value: &str) -> Result<Self, String> {
        let numbers = value.split('.').map(str::parse).collect::<Result<Vec<u64>, _>>();
        let mut numbers = numbers.map_err(|_| "expected numbers with dots between them")?;
        // 1.12 is 1.12.0, and 0 is nothing at all.
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Ok(Self(numbers))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        if numbers.is_empty() { f.write_str("0") } else { f.write_str(&numbers.join(".")) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for text in ["", "v1", "1..2", "1.x", "-1", "99999999999999999999"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("1.9.9") < version("1.12.0") && version("1.12") == version("1.12.0"));
        assert!(version("0") < version("0.1") && version("1.12.0") < version("1.12.1"));
        assert_eq!(version("0.0"), Version::ANY);
        let told = Version::told("preflight version 1.16.0 <commit: abc>\n").unwrap();
        assert_eq!(told, version("1.16"));
        assert_eq!(Version::told("preflight version v2.0.1-rc1"), Some(version("2.0.1")));
        assert_eq!(Version::told("preflight version unknown <commit: unknown>"), None);
    }
}
