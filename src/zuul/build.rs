use std::fmt;
use std::str::FromStr;

use super::Label;
use crate::oci;

/// `zuul.build`: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildId(String);

impl BuildId {
    /// Whether `text` is a build's identity.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// The same as a name of Zuul's.
    #[must_use]
    pub fn label(&self) -> Option<Label> {
        self.0.parse().ok()
    }
}

impl FromStr for BuildId {
    type Err = oci::Error;

    fn from_str(value: &str) -> Result<Self, oci::Error> {
        if Self::is_valid(value) {
            return Ok(Self(value.to_owned()));
        }
        Err(oci::Error::Tag {
            value: value.chars().take(80).flat_map(char::escape_debug).collect(),
            reason: "a Zuul build is 32 digits of 0-9 and a-f",
        })
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
