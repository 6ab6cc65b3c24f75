use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::oci::text_conversions;

/// Which build an image came from. `push` says it with the tag it writes, a pull says who it is for:
/// both in the header [`Origin::HEADER`], which registries that do not know it ignore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// zuul.tenant
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Label>,
    /// zuul.project.name
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Label>,
    /// zuul.change; branch, tag and timer items have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Label>,
    /// zuul.build
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Label>,
}

/// A name that Zuul gives: printable, and not long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Origin {
    /// The header's name. Its value is a form: `tenant=…&project=…&change=…&build=…`.
    pub const HEADER: &str = "zuul-origin";

    /// The header by which a pull says that what has no origin stays: this buildset pushed it itself.
    /// Who keeps it answers 412 and names its digest.
    pub const KEEP_PUSHED: &str = "zuul-keep-pushed";

    /// The header by which our registries say when a tag was set, as RFC 3339 has it. `Last-Modified` says
    /// it, too, but from others that may be when a copy was made, or the image.
    pub const TAGGED: &str = "zuul-tagged";

    /// The error code of an image that is another tenant's.
    pub const DENIED: &str = "TENANT_DENIED";

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// The value of the header: ASCII, whatever the names are made of.
    #[must_use]
    pub fn to_header(&self) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in [
            ("tenant", &self.tenant),
            ("project", &self.project),
            ("change", &self.change),
            ("build", &self.build),
        ] {
            if let Some(Label(value)) = value {
                form.append_pair(key, value);
            }
        }
        form.finish()
    }

    /// Reads the value of the header. Keys this program does not know are left out.
    ///
    /// # Errors
    /// A name that no Zuul gives, or one key twice.
    pub fn from_header(value: &str) -> Result<Self, Error> {
        let mut origin = Self::default();
        for (key, value) in url::form_urlencoded::parse(value.as_bytes()) {
            let place = match key.as_ref() {
                "tenant" => &mut origin.tenant,
                "project" => &mut origin.project,
                "change" => &mut origin.change,
                "build" => &mut origin.build,
                _ => continue,
            };
            if place.replace(value.parse()?).is_some() {
                return Err(Error::value(Self::HEADER, "it says one thing twice"));
            }
        }
        Ok(origin)
    }
}

impl Label {
    const MAX_CHARS: usize = 256;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let fits = !value.trim().is_empty() && value.chars().count() <= Self::MAX_CHARS;
        if fits && !value.contains(char::is_control) {
            return Ok(Self(value.to_owned()));
        }
        Err(Error::value(value, "a name from Zuul has 1 to 256 characters, none of them control"))
    }
}

text_conversions!(Label);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_no_zuul_says_is_refused() {
        let long = format!("tenant={}", "x".repeat(257));
        for header in ["tenant=", "tenant=a%0Ab", "tenant=a&tenant=b", "change=%00", &long] {
            assert!(Origin::from_header(header).is_err(), "{header}");
        }
    }

    #[test]
    fn any_name_survives_the_header() {
        let label = |text: &str| Some(text.parse().unwrap());
        let origin = Origin {
            tenant: label("über & alles"),
            project: label("org/project=1"),
            change: label("1001"),
            build: None,
        };
        let header = origin.to_header();
        assert!(header.bytes().all(|byte| byte.is_ascii_graphic()), "{header}");
        assert_eq!(Origin::from_header(&format!("{header}&later=1")).unwrap(), origin);
        assert!(Origin::from_header("").unwrap().is_empty());
    }
}
