//! The values of the configuration that have a notation of their own.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

/// A length of time as people write it: `90s`, `15m`, `24h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Period(pub Duration);

/// The longest, in seconds.
const LONGEST: u64 = 36_500 * 24 * 60 * 60;

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time such as 90s, 15m, 24h or 7d")]
pub struct InvalidPeriod(String);

/// A number of bytes as people write it: `512MiB`, `20GiB`, `1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

/// A text that is no number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a number of bytes such as 512MiB, 20GiB or 1TiB")]
pub struct InvalidSize(String);

/// The URL of a server, without a path at its end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublicUrl(String);

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let invalid = || InvalidPeriod(text.chars().take(40).collect());
        let unit = text.chars().next_back().ok_or_else(invalid)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            _ => return Err(invalid()),
        };
        let number = text.strip_suffix(unit).unwrap_or_default();
        let number: u64 = number.parse().map_err(|_| invalid())?;
        // More than a hundred years is a mistake, and no moment so far away can be told.
        let seconds = number.checked_mul(seconds).filter(|seconds| *seconds <= LONGEST);
        let seconds = seconds.ok_or_else(invalid)?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

impl TryFrom<String> for Period {
    type Error = InvalidPeriod;

    fn try_from(text: String) -> Result<Self, InvalidPeriod> {
        text.parse()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0.as_secs())
    }
}

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let invalid = || InvalidSize(text.chars().take(40).collect());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits).ok_or_else(invalid)?;
        let factor: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            _ => return Err(invalid()),
        };
        let number: u64 = number.parse().map_err(|_| invalid())?;
        number.checked_mul(factor).map(Self).ok_or_else(invalid)
    }
}

impl TryFrom<String> for Size {
    type Error = InvalidSize;

    fn try_from(text: String) -> Result<Self, InvalidSize> {
        text.parse()
    }
}

impl PublicUrl {
    /// Where tokens are given.
    #[must_use]
    pub fn realm(&self) -> String {
        format!("{}/auth/token", self.0)
    }

    /// Host and port.
    pub(in crate::registry) fn host(&self) -> &str {
        self.0.split_once("://").map_or(&self.0, |(_, host)| host)
    }
}

impl TryFrom<String> for PublicUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
            format!("`{shown}` is no public URL such as https://registry.example.org:5000")
        };
        let url = Url::parse(&text).map_err(|_| wrong())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(wrong());
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn periods_have_a_unit() {
        for text in ["", "s", "5", "-5s", "5 s", "1.5h", "5w", "99999999999999999999d", "5é"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        for text in ["36501d", "200000000000000d", "18446744073709551615s"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
        assert!("36500d".parse::<Period>().is_ok());
        assert_eq!("2h".parse(), Ok(Period(Duration::from_secs(7200))));
        assert_eq!("0s".parse(), Ok(Period(Duration::ZERO)));
    }

    #[test]
    fn sizes_have_binary_units() {
        for text in ["", "MiB", "-1", "1.5GiB", "5 GiB", "5GB", "99999999TiB", "5é"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
        assert_eq!("20GiB".parse(), Ok(Size(20 << 30)));
        assert_eq!("1000".parse(), Ok(Size(1000)));
    }
}
