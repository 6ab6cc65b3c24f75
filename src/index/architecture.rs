use std::fmt;
use std::str::FromStr;

use super::Error;
use crate::oci::{Platform, Tag, printable};

/// An architecture as somebody spells it, and the platform that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Architecture {
    given: String,
    platform: Platform,
    fedora: &'static str,
}

/// The one table. What is not in it is an error: a name taken over as it is would not be found in what a
/// registry holds, and every guard that compares the two would look away.
const TABLE: [Row; 9] = [
    Row { oci: "amd64", variant: None, fedora: "x86_64", others: &["x86-64"] },
    Row { oci: "arm64", variant: None, fedora: "aarch64", others: &["arm64/v8"] },
    Row { oci: "ppc64le", variant: None, fedora: "ppc64le", others: &["ppc64el"] },
    Row { oci: "s390x", variant: None, fedora: "s390x", others: &[] },
    Row { oci: "386", variant: None, fedora: "i686", others: &["i386"] },
    Row { oci: "arm", variant: Some("v7"), fedora: "armv7hl", others: &["armhfp", "armhf"] },
    Row { oci: "arm", variant: Some("v6"), fedora: "armv6hl", others: &[] },
    Row { oci: "arm", variant: Some("v5"), fedora: "armv5tel", others: &["armel"] },
    Row { oci: "mips64le", variant: None, fedora: "mips64el", others: &[] },
];

struct Row {
    /// As Go, and so OCI, spells it.
    oci: &'static str,
    variant: Option<&'static str>,
    fedora: &'static str,
    /// Debian's names, and other spellings.
    others: &'static [&'static str],
}

impl Architecture {
    /// What it means in an index; the system is always Linux.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Its name in Fedora.
    #[must_use]
    pub fn fedora(&self) -> &'static str {
        self.fedora
    }

    /// The tag of the image of this architecture alone, `<tag>-<architecture>` as it was given; none where that
    /// would be too long.
    pub(super) fn tag(&self, tag: &Tag) -> Option<Tag> {
        format!("{tag}-{}", self.given.replace('/', "-")).parse().ok()
    }
}

impl Row {
    fn is_named(&self, name: &str) -> bool {
        let own = match self.variant {
            None => name == self.oci,
            Some(variant) => {
                name.strip_prefix(self.oci).and_then(|rest| rest.strip_prefix('/')) == Some(variant)
                    || (variant == "v7" && name == self.oci)
            }
        };
        own || name == self.fedora || self.others.contains(&name)
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Error> {
        let name = value.strip_prefix("linux/").unwrap_or(value);
        let row = TABLE.iter().find(|row| row.is_named(name));
        let row = row.ok_or_else(|| Error::UnknownArchitecture(printable(value, 80)))?;
        let platform = Platform {
            os: "linux".to_owned(),
            architecture: row.oci.to_owned(),
            variant: row.variant.map(str::to_owned),
        };
        Ok(Self { given: name.to_owned(), platform, fedora: row.fedora })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_that_is_not_in_the_table_is_an_error_and_never_taken_as_it_is() {
        for name in ["riscv64", "", "linux/", "amd64/v9", "arm/v8", "X86_64", "arm64 "] {
            let error = name.parse::<Architecture>().unwrap_err().to_string();
            assert!(error.contains("architecture table"), "{error}");
        }
        assert!("riscv64".parse::<Architecture>().unwrap_err().to_string().contains("`riscv64`"));
    }

    #[test]
    fn fedora_debian_and_oci_mean_the_same_platform() {
        for (names, platform) in [
            (&["amd64", "x86_64", "linux/amd64"][..], "linux/amd64"),
            (&["arm64", "aarch64", "arm64/v8"], "linux/arm64"),
            (&["ppc64le", "ppc64el"], "linux/ppc64le"),
            (&["s390x"], "linux/s390x"),
            (&["386", "i386", "i686"], "linux/386"),
            (&["arm/v7", "armhf", "armhfp", "armv7hl", "arm"], "linux/arm/v7"),
            (&["arm/v6"], "linux/arm/v6"),
            (&["arm/v5", "armel"], "linux/arm/v5"),
        ] {
            for name in names {
                let architecture: Architecture = name.parse().unwrap();
                assert_eq!(architecture.platform().to_string(), platform, "{name}");
            }
        }
    }
}
