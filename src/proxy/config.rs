use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Target;
use crate::http::Network;
use crate::oci::Registry;
use crate::tls::{self, Authority, Subject};

/// The section `forward_proxy` of the registry's configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Registries whose images are answered from here where they are here: `quay.io`,
    /// `registry.example:5000`.
    #[serde(deserialize_with = "registries")]
    pub registries: Vec<Registry>,
    /// Ports that other hosts may be reached at.
    #[serde(default = "https")]
    pub ports: Vec<u16>,
    /// Addresses and networks that may be reached though they are not public.
    #[serde(default)]
    pub allow: Vec<Network>,
    /// PEM files of authorities that are believed for single registries, beside those of the system.
    #[serde(default)]
    pub certificates: BTreeMap<String, PathBuf>,
    /// The folder with the certificate authority that `init` made.
    #[serde(default = "tls_folder")]
    pub authority: PathBuf,
}

impl Config {
    /// A listed registry that an authority may not vouch for.
    #[must_use]
    pub fn unvouched(&self, authority: &Authority) -> Option<&Registry> {
        self.registries
            .iter()
            .find(|registry| !authority.permits(&subjects(std::slice::from_ref(registry))))
    }

    /// Takes its paths from this folder.
    pub fn resolve_paths(&mut self, folder: &Path) {
        for path in self.certificates.values_mut().chain([&mut self.authority]) {
            *path = folder.join(&path);
        }
    }

    /// What `certificates` names, read.
    pub(super) fn certificates(&self) -> Result<Vec<(Registry, Vec<u8>)>, tls::Error> {
        let read = |(name, file): (&String, &PathBuf)| {
            let failed =
                |reason: String| tls::Error::File { file: file.display().to_string(), reason };
            let registry: Registry = name
                .parse()
                .map_err(|_| failed(format!("it is for `{name}`, which is no registry")))?;
            let is_listed = |listed| Target::of(listed) == Target::of(&registry);
            if !self.registries.iter().any(is_listed) {
                return Err(failed(format!("it is for {name}, which is not among `registries`")));
            }
            let pem = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
            Ok((registry, pem))
        };
        self.certificates.iter().map(read).collect()
    }
}

/// What an authority has to vouch for where these registries are listed.
#[must_use]
pub fn subjects(registries: &[Registry]) -> Vec<Subject> {
    registries.iter().flat_map(Target::of).map(|target| target.subject()).collect()
}

fn https() -> Vec<u16> {
    vec![443]
}

fn tls_folder() -> PathBuf {
    PathBuf::from("tls")
}

fn registries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Registry>, D::Error> {
    struct Registries;

    impl<'de> Visitor<'de> for Registries {
        type Value = Vec<Registry>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of registries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Registry>, A::Error> {
            let mut registries = Vec::new();
            while let Some(text) = list.next_element::<String>()? {
                registries.push(text.parse().map_err(A::Error::custom)?);
            }
            Ok(registries)
        }
    }

    deserializer.deserialize_seq(Registries)
}
