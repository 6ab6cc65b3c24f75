use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::Error;
use super::edges::Edges;
use super::inventory::{Sink, read_file};
use super::sha256::Sha256;
use crate::oci::{RepositoryName, Tag};

/// All that is in one registry, by image and digest; images go by their path below it. That of a repository that is
/// the registry itself is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    images: BTreeMap<String, BTreeMap<Sha256, Manifest>>,
}

/// What is known of one digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) tags: Vec<Tag>,
    /// What it lists, if it is known to be an index.
    pub(super) children: Vec<Sha256>,
    /// What it is attached to, if that is known.
    pub(super) subject: Option<Sha256>,
}

/// How a listing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As snapshots are: by digest, tags joined by `, `.
    ByDigest,
    /// As `kpromo pr` writes them: by the smallest tag, tags joined by `,`.
    ByTag,
}

impl Listing {
    /// What a file says of the registry.
    ///
    /// # Errors
    /// A file that cannot be read or is no inventory.
    pub fn read(path: &Path, registry: &str) -> Result<Self, Error> {
        let registry = registry.trim_end_matches('/');
        let mut filler = Filler::new(registry);
        read_file(path, &mut filler)?;
        match filler.wrong {
            Some(reason) => Err(Error::invalid(path, reason)),
            None => Ok(filler.listing.sorted()),
        }
    }

    /// What the edges put below a registry.
    #[must_use]
    pub fn of_edges(edges: &Edges, registry: &str) -> Self {
        let registry = registry.trim_end_matches('/');
        let mut listing = Self::default();
        for edge in edges.list() {
            let path = edges.repository(edge.destination);
            let (Some(image), Some(digest)) = (below(path, registry), edges.digest(edge.digest))
            else {
                continue;
            };
            let tag = edges.tag(edge.tag).and_then(|tag| tag.parse().ok());
            listing.manifest(image, digest).tags.extend(tag);
        }
        listing.sorted()
    }

    pub(super) fn manifest(&mut self, image: &str, digest: Sha256) -> &mut Manifest {
        self.images.entry(image.to_owned()).or_default().entry(digest).or_default()
    }

    pub(super) fn images(&self) -> &BTreeMap<String, BTreeMap<Sha256, Manifest>> {
        &self.images
    }

    /// Each tag once, in the order of bytes.
    pub(super) fn sorted(mut self) -> Self {
        for manifest in self.images.values_mut().flat_map(BTreeMap::values_mut) {
            manifest.tags.sort_unstable();
            manifest.tags.dedup();
        }
        self
    }

    /// A repository that is the registry itself as an image of the registry's parent.
    #[must_use]
    pub fn with_root_named(mut self, registry: &str) -> Self {
        let name = registry.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let Some(root) = self.images.remove("") else { return self };
        let image = self.images.entry(name.to_owned()).or_default();
        for (digest, Manifest { tags, children, subject }) in root {
            let held = image.entry(digest).or_default();
            held.tags.extend(tags);
            held.children.extend(children);
            held.subject = held.subject.or(subject);
        }
        self.sorted()
    }

    /// Only digests that have this tag, with all their tags.
    #[must_use]
    pub fn with_tag(mut self, tag: &Tag) -> Self {
        self.retain(|_, _, manifest| manifest.tags.contains(tag));
        self
    }

    /// Without what has no tag and is part of an index of the registry.
    #[must_use]
    pub fn minimal(mut self) -> Self {
        let children = self.parts();
        self.retain(|_, digest, manifest| !manifest.tags.is_empty() || !children.contains(digest));
        self
    }

    /// What indexes of the registry list.
    pub(super) fn parts(&self) -> HashSet<Sha256> {
        let manifests = self.images.values().flat_map(BTreeMap::values);
        manifests.flat_map(|manifest| manifest.children.iter().copied()).collect()
    }

    /// Keeps what is wanted; an image of which nothing is left goes.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str, &Sha256, &mut Manifest) -> bool) {
        self.images.retain(|image, digests| {
            digests.retain(|digest, manifest| keep(image, digest, manifest));
            !digests.is_empty()
        });
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// As the images of a thin manifest.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_yaml(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        for (image, digests) in &self.images {
            // The one name that would not be read as a text.
            let quote = if image == "null" { "\"" } else { "" };
            writeln!(out, "- name: {quote}{image}{quote}\n  dmap:")?;
            let mut digests: Vec<_> = digests.iter().collect();
            let joint = match style {
                Style::ByDigest => "\", \"",
                Style::ByTag => {
                    // Those without a tag come first.
                    digests.sort_by_key(|(_, manifest)| manifest.tags.first());
                    "\",\""
                }
            };
            for (digest, Manifest { tags, .. }) in digests {
                let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
                match tags.is_empty() {
                    true => writeln!(out, "    \"{digest}\": []")?,
                    false => writeln!(out, "    \"{digest}\": [\"{}\"]", tags.join(joint))?,
                }
            }
        }
        Ok(())
    }

    /// A line for each tag, and for each digest without one.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        for (image, digests) in &self.images {
            for (digest, Manifest { tags, .. }) in digests {
                if tags.is_empty() {
                    writeln!(out, "{image}@{digest},-")?;
                }
                for tag in tags {
                    writeln!(out, "{image}@{digest},{image}:{tag}")?;
                }
            }
        }
        Ok(())
    }
}

/// Image → digest → tags.
impl Serialize for Listing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Digests<'a>(&'a BTreeMap<Sha256, Manifest>);
        impl Serialize for Digests<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(digest, it)| (digest, &it.tags)))
            }
        }
        let mut map = serializer.serialize_map(Some(self.images.len()))?;
        for (image, digests) in &self.images {
            map.serialize_entry(image, &Digests(digests))?;
        }
        map.end()
    }
}

/// The path below a registry, cut between components only; empty for a repository that is the registry itself.
pub(super) fn below<'p>(path: &'p str, registry: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(registry)?;
    match rest.strip_prefix('/') {
        Some(image) => Some(image),
        None => rest.is_empty().then_some(""),
    }
}

/// Takes what an inventory says of one registry.
pub(super) struct Filler<'r> {
    registry: &'r str,
    image: Option<String>,
    digest: Option<Sha256>,
    listing: Listing,
    wrong: Option<String>,
}

impl<'r> Filler<'r> {
    pub(super) fn new(registry: &'r str) -> Self {
        Self { registry, image: None, digest: None, listing: Listing::default(), wrong: None }
    }
}

impl Sink for Filler<'_> {
    fn repository(&mut self, registry: &str, image: &str) -> bool {
        let path = format!("{registry}/{image}");
        self.image = below(&path, self.registry).map(str::to_owned);
        self.digest = None;
        let Some(image) = &self.image else { return false };
        if path != self.registry
            && let Err(error) = image.parse::<RepositoryName>()
        {
            self.wrong.get_or_insert(error.to_string());
            return false;
        }
        self.listing.images.entry(image.clone()).or_default();
        true
    }

    fn digest(&mut self, digest: Sha256) {
        self.digest = Some(digest);
        if let Some(image) = &self.image {
            self.listing.manifest(image, digest);
        }
    }

    fn tag(&mut self, tag: &str) -> Result<(), String> {
        let tag = tag.parse().map_err(|error: crate::oci::Error| error.to_string())?;
        if let (Some(image), Some(digest)) = (&self.image, self.digest) {
            self.listing.manifest(image, digest).tags.push(tag);
        }
        Ok(())
    }

    fn child(&mut self, child: Sha256) {
        if let (Some(image), Some(digest)) = (&self.image, self.digest) {
            self.listing.manifest(image, digest).children.push(child);
        }
    }
}
