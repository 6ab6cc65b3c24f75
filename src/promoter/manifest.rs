//! One manifest: which images go from which registry to which others.

use std::collections::HashMap;

use super::problem::{At, Level, Problem, Problems};
use super::sha256::Sha256;
use super::yaml::{self, Entry, Node, Value};
use crate::oci::Tag;

/// A file that was read.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// As it was named.
    pub(super) path: String,
    pub(super) text: String,
}

/// A manifest, as far as it can be understood.
#[derive(Debug)]
pub(super) struct Manifest {
    /// Which of the files lists its registries, and which its images.
    pub(super) file: usize,
    pub(super) images_file: usize,
    pub(super) source: Registry,
    pub(super) destinations: Vec<Registry>,
    pub(super) images: Vec<Image>,
}

/// A registry with the path that image names are put behind.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) name: String,
    /// Who may write or read there.
    pub(super) account: Option<String>,
    pub(super) at: At,
}

/// Source and destinations.
#[derive(Debug)]
pub(super) struct Registries {
    pub(super) source: Registry,
    pub(super) destinations: Vec<Registry>,
}

/// An image with all that is promoted of it.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) at: At,
    pub(super) digests: Vec<Listed>,
}

/// A digest with its tags; it goes by digest alone if there are none.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) digest: Sha256,
    pub(super) at: At,
    pub(super) tags: Vec<(Tag, At)>,
}

/// Reads one file and notes what is wrong with it.
pub(super) struct Reader<'a> {
    file: &'a SourceFile,
    problems: &'a mut Problems,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a SourceFile, problems: &'a mut Problems) -> Self {
        Self { file, problems }
    }

    /// A plain manifest: registries and images in one file.
    pub(super) fn plain(mut self) -> Option<(Registries, Vec<Image>)> {
        let root = self.root()?;
        let entries = self.top(root.as_ref())?;
        self.known(entries, &["registries", "images"]);
        let registries = self.registries(entries);
        let images = find(entries, "images").map(|entry| self.images(&entry.value, Level::Error));
        Some((registries?, images.unwrap_or_default()))
    }

    /// The registries of a thin manifest.
    pub(super) fn thin(mut self) -> Option<Registries> {
        let root = self.root()?;
        let entries = self.top(root.as_ref())?;
        self.known(entries, &["registries", "imagesPath"]);
        self.registries(entries)
    }

    /// The images of a thin manifest.
    pub(super) fn thin_images(mut self) -> Vec<Image> {
        match self.root() {
            Some(Some(root)) => self.images(&root, Level::Warning),
            _ => Vec::new(),
        }
    }

    /// `None` if it cannot be read; `Some(None)` if there is nothing in it.
    fn root(&mut self) -> Option<Option<Node<'a>>> {
        match yaml::parse(&self.file.text) {
            Ok((root, repeated)) => {
                repeated.into_iter().for_each(|fault| self.error(fault.at, fault.message));
                Some(root)
            }
            Err(fault) => {
                self.error(fault.at, fault.message);
                None
            }
        }
    }

    /// An empty file is an empty mapping.
    fn top<'n, 't>(&mut self, root: Option<&'n Node<'t>>) -> Option<&'n [Entry<'t>]> {
        match root {
            None | Some(Node { value: Value::Null, .. }) => Some(&[]),
            Some(root) => self.map(root, "a manifest"),
        }
    }

    fn registries(&mut self, entries: &[Entry<'_>]) -> Option<Registries> {
        let list = find(entries, "registries");
        let at = list.map_or(At::START, |entry| entry.at);
        let nodes = list.map_or(&[][..], |entry| self.list(&entry.value, "`registries`"));
        if nodes.is_empty() {
            self.error(at, "`registries` is empty; name a source (`src: true`) and destinations");
            return None;
        }
        let mut source: Option<Registry> = None;
        let mut destinations: Vec<Registry> = Vec::new();
        for node in nodes {
            let Some((registry, is_source)) = self.registry(node) else { continue };
            match (is_source, &source) {
                (false, _) => destinations.push(registry),
                (true, None) => source = Some(registry),
                (true, Some(first)) => {
                    let (line, name) = (first.at.line, first.name.escape_debug().to_string());
                    let message = format!("a second source; the first is `{name}` in line {line}");
                    self.error(registry.at, message);
                }
            }
        }
        let Some(source) = source else {
            self.error(at, "no registry is the source; mark it with `src: true`");
            return None;
        };
        self.judge_destinations(&source, &destinations);
        Some(Registries { source, destinations })
    }

    fn judge_destinations(&mut self, source: &Registry, destinations: &[Registry]) {
        let mut seen: HashMap<&str, At> = HashMap::new();
        for Registry { name, at, .. } in destinations {
            if *name == source.name {
                let message = format!("the destination `{name}` is the source");
                self.error(*at, message);
            } else if let Some(first) = seen.insert(name, *at) {
                let message = format!("`{name}` is there twice, first in line {}", first.line);
                self.warn(*at, message);
            }
        }
    }

    fn registry(&mut self, node: &Node<'_>) -> Option<(Registry, bool)> {
        let entries = self.map(node, "a registry")?;
        self.known(entries, &["name", "service-account", "src"]);
        let account = find(entries, "service-account").and_then(|entry| self.text(&entry.value));
        let is_source = find(entries, "src").is_some_and(|entry| self.boolean(&entry.value));
        let (name, at) = self.name(entries, node.at, "a registry")?;
        Some((Registry { name, account, at }, is_source))
    }

    fn images(&mut self, node: &Node<'_>, no_digests: Level) -> Vec<Image> {
        let mut images: Vec<Image> = Vec::new();
        let mut names: HashMap<String, At> = HashMap::new();
        for node in self.list(node, "the list of images") {
            let Some(image) = self.image(node, no_digests) else { continue };
            match names.get(&image.name) {
                Some(first) => {
                    let message = format!(
                        "the image `{}` is there twice, first in line {}; both count: write it once",
                        image.name, first.line
                    );
                    self.warn(image.at, message);
                }
                None => drop(names.insert(image.name.clone(), image.at)),
            }
            images.push(image);
        }
        self.judge_tags(&images);
        images
    }

    fn image(&mut self, node: &Node<'_>, no_digests: Level) -> Option<Image> {
        let entries = self.map(node, "an image")?;
        self.known(entries, &["name", "dmap"]);
        let name = self.name(entries, node.at, "an image");
        let map = find(entries, "dmap");
        let (at, listed) = match map.map(|entry| (entry.at, &entry.value)) {
            None => (name.as_ref().map_or(node.at, |(_, at)| *at), None),
            Some((at, Node { value: Value::Null, .. })) => (at, None),
            Some((at, value)) => (at, Some(self.map(value, "`dmap`")?)),
        };
        let listed = listed.unwrap_or_default();
        if listed.is_empty() {
            self.note(at, no_digests, "`dmap` is empty: nothing of this image is promoted");
        }
        let digests = listed.iter().filter_map(|entry| self.listed(entry)).collect();
        let (name, at) = name?;
        Some(Image { name, at, digests })
    }

    fn listed(&mut self, entry: &Entry<'_>) -> Option<Listed> {
        let nodes = self.list(&entry.value, "the tags of a digest");
        let tags: Vec<_> = nodes.iter().filter_map(|node| self.tag(node)).collect();
        // A digest whose tags are all wrong was not meant to go without.
        let is_meant = !tags.is_empty() || nodes.is_empty();
        match entry.key.parse() {
            Ok(digest) => is_meant.then_some(Listed { digest, at: entry.at, tags }),
            Err(error) => {
                self.error(entry.at, error);
                None
            }
        }
    }

    fn tag(&mut self, node: &Node<'_>) -> Option<(Tag, At)> {
        let text = match &node.value {
            Value::Text(text) => text,
            Value::Null => {
                self.error(node.at, "nothing is no tag; a tag of this name is written in quotes");
                return None;
            }
            Value::List(_) | Value::Map(_) => {
                self.error(node.at, format!("a tag is expected, not {}", node.kind()));
                return None;
            }
        };
        let tag = text.parse();
        let tag = tag.map_err(|error: crate::oci::Error| self.error(node.at, error)).ok()?;
        Some((tag, node.at))
    }

    /// One tag of an image may not be two digests.
    fn judge_tags(&mut self, images: &[Image]) {
        let mut seen: HashMap<(&str, &Tag), (Sha256, At)> = HashMap::new();
        for image in images {
            for listed in &image.digests {
                for (tag, at) in &listed.tags {
                    let held = *seen.entry((&image.name, tag)).or_insert((listed.digest, *at));
                    if held == (listed.digest, *at) {
                        continue;
                    }
                    let line = held.1.line;
                    if held.0 == listed.digest {
                        self.warn(
                            *at,
                            format!("the tag `{tag}` is there twice, first in line {line}"),
                        );
                        continue;
                    }
                    let message = format!(
                        "the tag `{tag}` of `{}` is on two digests, first in line {line}",
                        image.name
                    );
                    self.error(*at, message);
                }
            }
        }
    }

    fn name(&mut self, entries: &[Entry<'_>], at: At, what: &str) -> Option<(String, At)> {
        let entry = find(entries, "name");
        let text = match entry.map(|entry| &entry.value) {
            Some(node) if !matches!(node.value, Value::Null) => self.text(node)?,
            _ => String::new(),
        };
        let at = entry.map_or(at, |entry| entry.value.at);
        if text.is_empty() {
            self.error(at, format!("{what} has no name"));
            return None;
        }
        Some((text, at))
    }

    fn text(&mut self, node: &Node<'_>) -> Option<String> {
        match &node.value {
            Value::Text(text) => Some(text.to_string()),
            Value::Null => None,
            Value::List(_) | Value::Map(_) => {
                self.error(node.at, format!("a text is expected, not {}", node.kind()));
                None
            }
        }
    }

    fn boolean(&mut self, node: &Node<'_>) -> bool {
        let text = self.text(node).unwrap_or_default().to_ascii_lowercase();
        match text.as_str() {
            "true" | "yes" | "on" | "y" => true,
            "false" | "no" | "off" | "n" | "" => false,
            _ => {
                self.error(node.at, "true or false is expected");
                false
            }
        }
    }

    fn map<'n, 't>(&mut self, node: &'n Node<'t>, what: &str) -> Option<&'n [Entry<'t>]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            _ => {
                self.error(node.at, format!("{what} is a mapping, not {}", node.kind()));
                None
            }
        }
    }

    /// Nothing is an empty list.
    fn list<'n, 't>(&mut self, node: &'n Node<'t>, what: &str) -> &'n [Node<'t>] {
        match &node.value {
            Value::List(entries) => entries,
            Value::Null => &[],
            Value::Text(_) | Value::Map(_) => {
                self.error(node.at, format!("{what} is a list, not {}", node.kind()));
                &[]
            }
        }
    }

    fn known(&mut self, entries: &[Entry<'_>], known: &[&str]) {
        for entry in entries.iter().filter(|entry| !known.contains(&&*entry.key)) {
            let (key, known) = (entry.key.escape_debug(), known.join("`, `"));
            self.error(entry.at, format!("the key `{key}` is not known; known are `{known}`"));
        }
    }

    fn error(&mut self, at: At, message: impl ToString) {
        self.note(at, Level::Error, message);
    }

    fn warn(&mut self, at: At, message: impl ToString) {
        self.note(at, Level::Warning, message);
    }

    fn note(&mut self, at: At, level: Level, message: impl ToString) {
        self.problems.add(self.file.problem(at, level, message));
    }
}

fn find<'n, 't>(entries: &'n [Entry<'t>], key: &str) -> Option<&'n Entry<'t>> {
    entries.iter().find(|entry| entry.key == key)
}

impl SourceFile {
    /// A problem in it.
    pub(super) fn problem(&self, at: At, level: Level, message: impl ToString) -> Problem {
        Problem {
            file: self.path.clone(),
            line: at.line,
            column: at.column,
            level,
            message: message.to_string(),
            text: String::new(),
            text_from: 0,
        }
    }
}
