//! What is to be where: each tag, or digest without a tag, of each image in each destination.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Serialize, Serializer};

use super::manifest::{Image, Listed, Manifest, Registry};
use super::manifests::Manifests;
use super::names::{Names, rank};
use super::overlaps;
use super::place::Failed;
use super::problem::{At, Level, Problem};
use super::sha256::Sha256;
use crate::oci::{self, RepositoryName};

/// All edges of a run, in the order of their texts. Sixteen bytes each: there are a million of them.
#[derive(Debug, Default)]
pub struct Edges {
    /// `HOST/PATH/IMAGE`.
    repositories: Vec<Box<str>>,
    digests: Vec<Sha256>,
    tags: Vec<Box<str>>,
    list: Vec<Edge>,
}

/// The numbers of source repository, digest, destination repository and tag; their order is that of
/// the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Edge {
    pub(super) source: u32,
    pub(super) digest: u32,
    pub(super) destination: u32,
    pub(super) tag: u32,
}

/// In the place of a tag: the digest goes without one.
pub(super) const TAGLESS: u32 = u32::MAX;

/// An edge as `SRC/IMAGE@DIGEST -> DST/IMAGE:TAG`, or `@DIGEST` without a tag.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    edges: &'a Edges,
    edge: Edge,
}

/// `SRC/IMAGE@DIGEST`
#[derive(Debug, Clone, Copy)]
pub(super) struct SourceText<'a>(Shown<'a>);

/// `DST/IMAGE:TAG` or `DST/IMAGE@DIGEST`
#[derive(Debug, Clone, Copy)]
pub(super) struct DestinationText<'a>(Shown<'a>);

impl Edges {
    /// All edges, and in `manifests` what is wrong with them together.
    pub fn of(manifests: &mut Manifests) -> Self {
        let mut gathering = Gathering::default();
        gathering.take(manifests);
        let Gathering { repositories, digests, tags, mut list, problems, .. } = gathering;
        problems.into_iter().for_each(|problem| manifests.problems.add(problem));
        // `:` and `@`, one of which follows, come after `/` and before `_` and letters.
        let (repositories, order) = repositories.ranked(|path| format!("{path}@"));
        let (digests, digest_order) = rank(digests, |digest| *digest);
        let (tags, tag_order) = tags.ranked(str::to_owned);
        let place = |order: &[u32], number: u32| order.get(number as usize).copied();
        for edge in &mut list {
            edge.source = place(&order, edge.source).unwrap_or_default();
            edge.destination = place(&order, edge.destination).unwrap_or_default();
            edge.digest = place(&digest_order, edge.digest).unwrap_or_default();
            edge.tag = place(&tag_order, edge.tag).unwrap_or(TAGLESS);
        }
        let mut edges = Self { repositories, digests, tags, list };
        edges.judge_overlaps(manifests);
        let Manifests { files, problems, .. } = manifests;
        problems.finish(files.iter().map(|file| (file.path.as_str(), file.text.as_str())));
        edges
    }

    /// The edges of manifests without errors. Others are left out; what is wrong with them stays told.
    pub fn of_good(manifests: &mut Manifests) -> Self {
        loop {
            let edges = Self::of(manifests);
            // Where there was too much to go on, of the rest more may be wrong.
            if !manifests.leave_bad() {
                return edges;
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each with its texts, in order.
    pub fn iter(&self) -> impl Iterator<Item = Shown<'_>> {
        self.list.iter().map(|edge| self.show(*edge))
    }

    pub(super) fn list(&self) -> &[Edge] {
        &self.list
    }

    pub(super) fn show(&self, edge: Edge) -> Shown<'_> {
        Shown { edges: self, edge }
    }

    pub(super) fn repository(&self, number: u32) -> &str {
        self.repositories.get(number as usize).map_or("", |path| path)
    }

    pub(super) fn repositories(&self) -> &[Box<str>] {
        &self.repositories
    }

    pub(super) fn digest(&self, number: u32) -> Option<Sha256> {
        self.digests.get(number as usize).copied()
    }

    pub(super) fn digests(&self) -> &[Sha256] {
        &self.digests
    }

    pub(super) fn tag(&self, number: u32) -> Option<&str> {
        self.tags.get(number as usize).map(|tag| &**tag)
    }

    pub(super) fn tags(&self) -> &[Box<str>] {
        &self.tags
    }

    /// Leaves out what comes from or goes to one of these repositories.
    pub fn leave(&mut self, failed: &[Failed]) {
        let failed: HashSet<&str> = failed.iter().map(|failed| failed.item.as_str()).collect();
        let is_failed: Vec<bool> =
            self.repositories.iter().map(|it| failed.contains(&**it)).collect();
        let is_failed = |number: u32| is_failed.get(number as usize).copied().unwrap_or_default();
        self.list.retain(|edge| !is_failed(edge.source) && !is_failed(edge.destination));
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Edge) -> bool) {
        self.list.retain(keep);
    }

    /// One tag of a destination may not be two digests. Where it is one digest from several sources, one
    /// edge stays.
    fn judge_overlaps(&mut self, manifests: &mut Manifests) {
        self.list
            .sort_unstable_by_key(|edge| (edge.destination, edge.tag, edge.digest, edge.source));
        let key = |edge: &Edge| (edge.destination, edge.tag);
        let mut overlaps = HashSet::new();
        self.list.dedup_by(|edge, kept| {
            let same = key(edge) == key(kept);
            if same && edge.tag != TAGLESS && edge.digest != kept.digest {
                overlaps.insert(key(edge));
            }
            same && edge.digest == kept.digest
        });
        self.list.sort_unstable();
        if !overlaps.is_empty() {
            let overlaps = overlaps.into_iter().filter_map(|(destination, tag)| {
                Some((self.repository(destination), self.tag(tag)?))
            });
            overlaps::tell(manifests, &overlaps.collect());
        }
    }
}

impl<'a> Shown<'a> {
    pub(super) fn source(self) -> SourceText<'a> {
        SourceText(self)
    }

    pub(super) fn destination(self) -> DestinationText<'a> {
        DestinationText(self)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.source(), self.destination())
    }
}

impl fmt::Display for SourceText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown { edges, edge } = self.0;
        f.write_str(edges.repository(edge.source))?;
        edges.digest(edge.digest).map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl fmt::Display for DestinationText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown { edges, edge } = self.0;
        f.write_str(edges.repository(edge.destination))?;
        match (edges.tag(edge.tag), edges.digest(edge.digest)) {
            (Some(tag), _) => write!(f, ":{tag}"),
            (None, Some(digest)) => write!(f, "@{digest}"),
            (None, None) => Ok(()),
        }
    }
}

macro_rules! serialize_as_text {
    ($($type:ident),*) => {$(
        impl Serialize for $type<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

serialize_as_text!(Shown, SourceText, DestinationText);

/// As a list of texts.
impl Serialize for Edges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// Edges before their numbers are in order.
#[derive(Default)]
struct Gathering {
    repositories: Names,
    digests: HashMap<Sha256, u32>,
    tags: Names,
    list: Vec<Edge>,
    problems: Vec<Problem>,
    /// Registry names that were judged.
    registries: HashMap<String, Option<String>>,
    told: HashSet<(usize, At)>,
    /// How many repositories were named, again and again.
    places: usize,
}

/// Far more than anybody has; a small file can name many times as many.
const MOST: usize = 20_000_000;

impl Gathering {
    fn take(&mut self, manifests: &Manifests) {
        for manifest in &manifests.manifests {
            let ends: Vec<&Registry> =
                [&manifest.source].into_iter().chain(&manifest.destinations).collect();
            if manifest.images.is_empty() {
                ends.iter().for_each(|it| self.judge(manifests, manifest.file, it, Level::Warning));
            }
            for image in &manifest.images {
                let count: usize = image.digests.iter().map(|it| it.tags.len().max(1)).sum();
                self.places += ends.len();
                if self.places > MOST || self.list.len() + count * ends.len() > MOST {
                    let message = format!("with this there are more than {MOST} edges; split them");
                    self.tell(manifests, manifest.images_file, image.at, Level::Error, message);
                    return;
                }
                let mut places = ends.iter().map(|it| self.place(manifests, manifest, it, image));
                let source = places.next().flatten();
                let destinations: Vec<u32> = places.flatten().collect();
                if let Some(source) = source {
                    self.edges(source, &destinations, image);
                }
            }
        }
    }

    fn edges(&mut self, source: u32, destinations: &[u32], image: &Image) {
        for Listed { digest, tags, .. } in &image.digests {
            let next = u32::try_from(self.digests.len()).unwrap_or(u32::MAX);
            let digest = *self.digests.entry(*digest).or_insert(next);
            let mut edges = |tag| {
                let edge =
                    |destination: &u32| Edge { source, digest, destination: *destination, tag };
                self.list.extend(destinations.iter().filter(|it| **it != source).map(edge));
            };
            if tags.is_empty() {
                edges(TAGLESS);
            }
            for (tag, _) in tags {
                edges(self.tags.number(tag.as_str()));
            }
        }
    }

    /// The repository of an image in a registry.
    fn place(
        &mut self,
        manifests: &Manifests,
        manifest: &Manifest,
        registry: &Registry,
        image: &Image,
    ) -> Option<u32> {
        self.judge(manifests, manifest.file, registry, Level::Error);
        if self.registries.get(&registry.name).is_none_or(Option::is_some) {
            return None;
        }
        let path = format!("{}/{}", registry.name, image.name);
        let (_, name) = path.split_once('/')?;
        if let Err(error) = name.parse::<RepositoryName>() {
            self.tell(manifests, manifest.images_file, image.at, Level::Error, error);
            return None;
        }
        Some(self.repositories.number(&path))
    }

    /// A name that nothing comes from or goes to is judged more mildly.
    fn judge(&mut self, manifests: &Manifests, file: usize, registry: &Registry, level: Level) {
        let Registry { name, at, .. } = registry;
        let wrong = self.registries.entry(name.clone()).or_insert_with(|| wrong_registry(name));
        if let Some(reason) = wrong.clone() {
            self.tell(manifests, file, *at, level, reason);
        }
    }

    /// Once for each place.
    fn tell(
        &mut self,
        manifests: &Manifests,
        file: usize,
        at: At,
        level: Level,
        message: impl ToString,
    ) {
        let Some(source) = manifests.files.get(file).filter(|_| self.told.insert((file, at)))
        else {
            return;
        };
        self.problems.push(source.problem(at, level, message));
    }
}

/// Why `HOST[:PORT][/PATH]` is no registry. One registry has one spelling, else nobody would see that two are
/// the same.
fn wrong_registry(name: &str) -> Option<String> {
    let (host, path) = name.split_once('/').map_or((name, None), |(host, path)| (host, Some(path)));
    let registry = match host.parse::<oci::Registry>() {
        Ok(registry) => registry.canonical().to_string(),
        Err(error) => return Some(format!("no registry: {error}")),
    };
    let path = path.map_or(Ok(()), |path| path.parse::<RepositoryName>().map(drop));
    match path {
        Err(error) => Some(format!("no registry: {error}")),
        Ok(()) if registry != host => Some(format!("write `{registry}` for `{host}`")),
        Ok(()) => None,
    }
}
