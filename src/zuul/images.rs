use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use super::{Document, Error, Secrecy, TemporaryPrefix};
use crate::oci::{Digest, ImageReference, Registry, RepositoryName, Tag};

/// A `container_images` or `docker_images` list, checked.
#[derive(Debug, Clone)]
pub struct ImageList {
    images: Vec<ZuulImage>,
}

/// One image of the list, as the programs need it.
#[derive(Debug, Clone)]
pub struct ZuulImage {
    /// The repository exactly as the job spells it, e.g. `quay.io/org/img` or `docker.io/org/img`.
    pub repository: String,
    /// Key into `container_registry_credentials`: `registry`, else the repository's registry.
    pub registry: String,
    /// The final tags, `latest` where none are named.
    pub tags: Vec<Tag>,
    /// The digest each tag must have at the source, where the build recorded it.
    pub digests: BTreeMap<Tag, Digest>,
}

impl ImageList {
    /// Reads an IMAGES file: the list itself, or an object with `container_images` or
    /// `docker_images`.
    ///
    /// # Errors
    /// Names file, line and column of an unknown key, a wrong shape, a bad tag or repository.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(&Document::read(path, Secrecy::Public)?)
    }

    /// As [`ImageList::read`], from memory.
    ///
    /// # Errors
    /// As [`ImageList::read`].
    pub fn parse(document: &Document) -> Result<Self, Error> {
        let entries = match document.parse::<Input>()? {
            Input { container_images: Some(entries), docker_images: None }
            | Input { container_images: None, docker_images: Some(entries) } => entries,
            Input { container_images: Some(_), docker_images: Some(_) } => {
                return Err(Error::value(
                    document.file(),
                    "it has both `container_images` and `docker_images`; give one of them",
                ));
            }
            Input { .. } => {
                return Err(Error::value(
                    document.file(),
                    "it has neither `container_images` nor `docker_images`",
                ));
            }
        };
        let images = entries.into_iter().map(|entry| ZuulImage::new(entry, document.file()));
        let images = images.collect::<Result<Vec<_>, _>>()?;
        let list = Self { images };
        let mut seen = HashSet::new();
        for (image, tag) in list.tags() {
            if !seen.insert(image.reference(tag.clone())?) {
                let reason = format!("{}:{tag} is listed twice", image.repository);
                return Err(Error::value(document.file(), reason));
            }
        }
        Ok(list)
    }

    /// The images in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = &ZuulImage> {
        self.images.iter()
    }

    /// Every image with each of its tags.
    pub fn tags(&self) -> impl Iterator<Item = (&ZuulImage, &Tag)> {
        self.images.iter().flat_map(|image| image.tags.iter().map(move |tag| (image, tag)))
    }

    /// Where every image and tag waits for promotion, in the order of [`ImageList::tags`].
    ///
    /// # Errors
    /// A temporary tag that is a final tag, too: uploading would publish one untested image under the
    /// name of another, and cleaning up would remove what was promoted.
    pub fn waiting(&self, prefix: &TemporaryPrefix) -> Result<Vec<ImageReference>, Error> {
        let finals = self.tags().map(|(image, tag)| image.reference(tag.clone()));
        let finals = finals.collect::<Result<HashSet<_>, _>>()?;
        let waiting = self.tags().map(|(image, tag)| {
            let waiting = image.reference(prefix.tag(tag)?)?;
            if finals.contains(&waiting) {
                let reason =
                    format!("the temporary tag of `{tag}` is a final tag of the list, too");
                return Err(Error::value(waiting.to_string(), reason));
            }
            Ok(waiting)
        });
        waiting.collect()
    }
}

impl ZuulImage {
    /// Checks what the grammar of YAML cannot say; `file` is for messages.
    fn new(entry: Entry, file: &str) -> Result<Self, Error> {
        let place = entry.repository.referenced;
        let repository = entry.repository.value;
        let wrong = |reason: &dyn std::fmt::Display| {
            let item = format!("{file}: line {} column {}", place.line(), place.column());
            Error::value(item, format!("{repository}: {reason}"))
        };
        let first = entry.tags.first().cloned().ok_or_else(|| wrong(&"`tags` is an empty list"))?;
        let reference =
            ImageReference::with_tag(&repository, first).map_err(|error| wrong(&error))?;
        path_below_registry(&repository).map_err(|error| wrong(&error))?;
        if let Some(tag) = entry.digests.keys().find(|tag| !entry.tags.contains(tag)) {
            return Err(wrong(&format!("`digests` names `{tag}`, `tags` does not")));
        }
        Ok(Self {
            registry: entry.registry.unwrap_or_else(|| reference.registry.to_string()),
            repository,
            tags: entry.tags,
            digests: entry.digests,
        })
    }

    /// The final image of `tag`, in its own registry.
    ///
    /// # Errors
    /// A repository outside the OCI grammar; checked when the list was read.
    pub fn reference(&self, tag: Tag) -> Result<ImageReference, Error> {
        ImageReference::with_tag(&self.repository, tag)
            .map_err(|error| Error::value(&self.repository, error))
    }

    /// The registry it is in.
    ///
    /// # Errors
    /// As [`ZuulImage::reference`].
    pub fn host(&self) -> Result<Registry, Error> {
        let tag = self.tags.first().cloned().map_or_else(|| "latest".parse(), Ok);
        let tag = tag.map_err(|error| Error::value(&self.repository, error))?;
        Ok(self.reference(tag)?.registry)
    }

    /// The name under which buildset and intermediate registries keep this repository.
    ///
    /// # Errors
    /// As [`path_below_registry`].
    pub fn speculative_name(&self) -> Result<RepositoryName, Error> {
        path_below_registry(&self.repository).map(|name| name.canonical())
    }
}

/// A full repository as a path in a registry that holds images of several registries:
/// `quay.io/org/img` stays, `host.example:5000/img` becomes `host.example_5000/img`.
///
/// # Errors
/// A repository outside the OCI grammar.
pub fn path_below_registry(repository: &str) -> Result<RepositoryName, Error> {
    let path = match repository.split_once('/') {
        Some((host, rest)) if Registry::is_named_by(host) => {
            let host: Registry = host.parse().map_err(|error| Error::value(repository, error))?;
            format!("{}/{rest}", host.path_component())
        }
        _ => repository.to_owned(),
    };
    path.parse().map_err(|error| Error::value(repository, error))
}

/// The two spellings of the variable; a bare list is taken as `container_images`.
#[derive(Default)]
struct Input {
    container_images: Option<Vec<Entry>>,
    docker_images: Option<Vec<Entry>>,
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

struct InputVisitor;

impl<'de> serde::de::Visitor<'de> for InputVisitor {
    type Value = Input;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of images, or a mapping with `container_images` or `docker_images`")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Input, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element()? {
            entries.push(entry);
        }
        Ok(Input { container_images: Some(entries), docker_images: None })
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Input, A::Error> {
        let mut input = Input::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "container_images" => input.container_images = Some(map.next_value()?),
                "docker_images" => input.docker_images = Some(map.next_value()?),
                _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
            }
        }
        Ok(input)
    }
}

/// Every key the `zuul-jobs` roles know, and `digests`. Keys that only matter to the build are read
/// for their names alone: a misspelt key is an error, not a silently ignored wish.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "build keys are read for their names and shapes")]
struct Entry {
    repository: serde_saphyr::Spanned<String>,
    registry: Option<String>,
    #[serde(default = "latest")]
    tags: Vec<Tag>,
    #[serde(default)]
    digests: BTreeMap<Tag, Digest>,
    context: Option<String>,
    path: Option<String>,
    container_filename: Option<String>,
    dockerfile: Option<String>,
    target: Option<String>,
    build_args: Option<Vec<String>>,
    siblings: Option<Vec<String>>,
    labels: Option<Vec<String>>,
    arch: Option<Vec<String>>,
    namespace: Option<String>,
    repo_shortname: Option<String>,
    repo_description: Option<String>,
    visibility: Option<String>,
}

fn latest() -> Vec<Tag> {
    "latest".parse().into_iter().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<ImageList, Error> {
        ImageList::parse(&Document::new("images.yaml", text))
    }

    #[test]
    fn bad_lists_are_refused_with_the_place() {
        for (text, expected) in [
            ("container_images: no list", "line 1"),
            ("container_images:\n- repository: quay.io/a/b\n  tag: [x]\n", "line 3"),
            ("container_images:\n- repository: quay.io/a/b\n  tags: latest\n", "line 3"),
            ("container_images:\n- repository: quay.io/a/b\n  tags: ['a b']\n", "line 3"),
            ("container_images:\n- repository: quay.io/A/b\n", "line 2"),
            ("- context: x\n", "repository"),
            ("other: 3", "neither"),
            ("container_images: []\ndocker_images: []", "both"),
            ("- {repository: q.io/a, tags: []}", "empty list"),
            ("- {repository: q.io/a, tags: [x, x]}", "listed twice"),
            ("- {repository: q.io/a, digests: {latest: 'sha256:1'}}", "line 1"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?} gave: {error}");
        }
    }

    #[test]
    fn both_lists_and_bare_ones_are_read() {
        let list =
            parse("docker_images:\n- {repository: org/img, context: ., dockerfile: D}").unwrap();
        let image = list.iter().next().unwrap();
        assert_eq!(image.registry, "docker.io");
        assert_eq!(image.tags.len(), 1);
        assert_eq!(image.speculative_name().unwrap().as_str(), "org/img");
        let list =
            parse(r#"[{"repository": "docker.io/org/img", "registry": "hub", "tags": [1.1]}]"#)
                .unwrap();
        let image = list.iter().next().unwrap();
        assert_eq!((image.registry.as_str(), image.tags[0].as_str()), ("hub", "1.1"));
        assert_eq!(image.speculative_name().unwrap().as_str(), "org/img");
    }

    #[test]
    fn a_temporary_tag_that_is_a_final_tag_is_refused() {
        let list = parse("[{repository: q.io/a, tags: [latest, rel_latest]}]").unwrap();
        let error = list.waiting(&TemporaryPrefix::Pipeline("rel".parse().unwrap())).unwrap_err();
        assert!(error.to_string().contains("q.io/a:rel_latest"), "{error}");
        let waiting = list.waiting(&TemporaryPrefix::Change("1".parse().unwrap())).unwrap();
        assert_eq!(waiting[1].to_string(), "q.io/a:change_1_rel_latest");
    }

    #[test]
    fn two_spellings_of_one_image_are_one_image() {
        for other in ["Q.io/a", "q.io/a"] {
            let text = format!("[{{repository: q.io/a}}, {{repository: {other}}}]");
            assert!(parse(&text).unwrap_err().to_string().contains("listed twice"));
        }
        let text = "docker_images: [{repository: org/a}, {repository: docker.io/org/a}]";
        assert!(parse(text).is_err());
    }

    #[test]
    fn names_from_jobs_cannot_write_to_the_terminal() {
        let text = "[{repository: \"a.io/b\\e[31m\\r\\nerror: forged\"}]";
        let error = parse(text).unwrap_err().to_string();
        assert!(!error.contains(['\u{1b}', '\r', '\n']), "{error:?}");
    }

    #[test]
    fn a_registry_with_a_port_becomes_one_path_component() {
        let name = path_below_registry("Registry.example:5000/a/b").unwrap();
        assert_eq!(name.as_str(), "registry.example_5000/a/b");
        assert_eq!(path_below_registry("docker.io/a").unwrap().as_str(), "docker.io/a");
        let name = path_below_registry("[::1]:5000/a").unwrap();
        assert_eq!(name.as_str(), "ipv6-0-0-0-0-0-0-0-1_5000/a");
    }
}
