use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

use super::{Document, Error, RegistryCredentials, Secrecy};
use crate::oci::{ImageReference, Tag};

/// A `mirror_container_images_images` list, checked.
#[derive(Debug, Clone)]
pub struct MirrorList {
    images: Vec<Mirrored>,
}

/// One image of the list.
#[derive(Debug, Clone)]
pub struct Mirrored {
    /// Where it is.
    pub from: ImageReference,
    /// Where it is to be.
    pub to: ImageReference,
    /// The destination's repository as the job spells it.
    repository: String,
    /// Key into `container_registry_credentials`: `dest_registry`, else the destination's registry.
    registry: String,
}

impl MirrorList {
    /// Reads the list from a YAML or JSON file, bare or below `mirror_container_images_images`.
    ///
    /// # Errors
    /// Names file, line and column of an unknown key, a wrong shape, a bad tag or repository.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(&Document::read(path, Secrecy::Public)?)
    }

    fn parse(document: &Document) -> Result<Self, Error> {
        let wrapped = document.parse::<BTreeMap<String, IgnoredAny>>().is_ok();
        let entries = match wrapped {
            true => document.parse::<Wrapped>()?.mirror_container_images_images,
            false => document.parse()?,
        };
        let images = entries.into_iter().map(|entry: Entry| Mirrored::new(entry, document.file()));
        let images = images.collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashSet::new();
        if let Some(image) = images.iter().find(|image| !seen.insert(&image.to)) {
            let reason = format!("{} is listed twice", image.to);
            return Err(Error::value(document.file(), reason));
        }
        Ok(Self { images })
    }

    /// The images in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &Mirrored> {
        self.images.iter()
    }

    /// Whether every destination may be written with these logins.
    ///
    /// # Errors
    /// Names the image and what is wrong.
    pub fn allowed_by(&self, credentials: &RegistryCredentials) -> Result<(), Error> {
        self.images.iter().try_for_each(|image| {
            credentials.allow_in(&image.registry, &image.repository, &image.to.registry)
        })
    }
}

impl Mirrored {
    fn new(entry: Entry, file: &str) -> Result<Self, Error> {
        let place = entry.dest_repository.referenced;
        let reference = |repository: &str, tag: Tag| {
            ImageReference::with_tag(repository, tag).map_err(|error| {
                let item = format!("{file}: line {} column {}", place.line(), place.column());
                Error::value(item, format!("{repository}: {error}"))
            })
        };
        let from = reference(&entry.src_repository, entry.src_tag)?;
        let to = reference(&entry.dest_repository.value, entry.dest_tag)?;
        let registry = entry.dest_registry.unwrap_or_else(|| to.registry.to_string());
        Ok(Self { from, to, repository: entry.dest_repository.value, registry })
    }
}

#[derive(Deserialize)]
struct Wrapped {
    mirror_container_images_images: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    src_repository: String,
    src_tag: Tag,
    dest_repository: Spanned<String>,
    dest_tag: Tag,
    dest_registry: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ENTRY: &str = "{src_repository: quay.io/a/b, src_tag: 1.10, \
        dest_repository: registry.example/m/b, dest_tag: latest, dest_registry: registry.example}";

    fn parse(text: &str) -> Result<MirrorList, Error> {
        MirrorList::parse(&Document::new("mirror.yaml", text))
    }

    #[test]
    fn bad_lists_are_refused_with_the_place() {
        let twice = format!("[{ENTRY}, {ENTRY}]");
        for (text, expected) in [
            ("other: []", "mirror_container_images_images"),
            ("3", "line 1"),
            ("- {src_repository: a.io/b, src_tag: x, dest_repository: c.io/d}", "dest_tag"),
            (&format!("[{}]", ENTRY.replace("src_tag", "src_tags")), "src_tags"),
            (&format!("[{}]", ENTRY.replace("1.10", "a b")), "line 1"),
            (&format!("[{}]", ENTRY.replace("quay.io/a", "quay.io/A")), "quay.io/A/b"),
            (&format!("- {}", ENTRY.replace("example/m", "example/M")), "line 1"),
            (&twice, "listed twice"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?} gave: {error}");
        }
    }

    #[test]
    fn a_list_is_read_bare_and_below_its_variable() {
        for text in
            [format!("[{ENTRY}]"), format!("mirror_container_images_images: [{ENTRY}]\nx: 1")]
        {
            let list = parse(&text).unwrap();
            let image = list.iter().next().unwrap();
            assert_eq!(image.from.to_string(), "quay.io/a/b:1.10");
            assert_eq!(image.to.to_string(), "registry.example/m/b:latest");
        }
    }

    #[test]
    fn a_login_is_for_its_own_registry_and_repositories() {
        let allowed = |logins: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), logins).unwrap();
            let logins = RegistryCredentials::read(file.path()).unwrap();
            parse(&format!("[{ENTRY}]")).unwrap().allowed_by(&logins).map_err(|e| e.to_string())
        };
        for (logins, expected) in [
            (
                "quay.io: {username: u, password: p}",
                "no credentials for registry `registry.example`",
            ),
            ("registry.example: {username: u, password: p, repository: ^other/}", "^other/"),
        ] {
            let error = allowed(logins).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let mine = "registry.example: {username: u, password: p, repository: ^registry.example/m/}";
        assert_eq!(allowed(mine), Ok(()));
    }
}
