//! Adds what a staging registry has to the thin manifest that promotes from it.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::Error;
use super::edges::Edges;
use super::listing::{Listing, Style};
use super::manifest::{Image, Listed, Manifest};
use super::manifests::{IMAGES, Manifests};
use super::sha256::Sha256;
use super::tree::Tree;
use crate::oci::Tag;

/// What of a staging registry is added; a list that is empty lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// Only these images.
    pub images: Vec<String>,
    /// Only these digests.
    pub digests: Vec<Sha256>,
    /// Only these tags.
    pub tags: Vec<Tag>,
}

/// What is added to a manifest.
#[derive(Debug, Serialize)]
pub struct Growth {
    /// The list of images that grows.
    pub file: String,
    /// What is new in it.
    pub added: Vec<Added>,
    /// Comments of the file that canonical rewriting does not keep.
    pub dropped_comments: usize,
    /// The whole file as it is to be.
    #[serde(skip)]
    pub text: String,
}

/// New tags of one digest.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Added {
    /// The image.
    pub image: String,
    /// The digest.
    pub digest: Sha256,
    /// Its new tags.
    pub tags: Vec<Tag>,
}

impl Filters {
    fn is_empty(&self) -> bool {
        self.images.is_empty() && self.digests.is_empty() && self.tags.is_empty()
    }

    /// What passes: never `latest`, nothing without a tag, and not a repository that is the registry itself, which no
    /// image of a manifest can name.
    ///
    /// # Errors
    /// `latest` among the tags, and filters that let nothing pass.
    pub fn apply(&self, mut listing: Listing) -> Result<Listing, Error> {
        if self.tags.iter().any(is_latest) {
            let message = "`latest` moves, so it is never promoted; name another tag";
            return Err(Error::Argument(message.to_owned()));
        }
        listing.retain(|image, digest, manifest| {
            let passes = !image.is_empty()
                && (self.images.is_empty() || self.images.iter().any(|it| it == image))
                && (self.digests.is_empty() || self.digests.contains(digest));
            manifest
                .tags
                .retain(|tag| !is_latest(tag) && (self.tags.is_empty() || self.tags.contains(tag)));
            passes && !manifest.tags.is_empty()
        });
        if listing.is_empty() && !self.is_empty() {
            let message = "no image passes the filters; check them for typing errors";
            return Err(Error::Argument(message.to_owned()));
        }
        Ok(listing)
    }
}

/// Adds `listing`, which passed the filters, to the manifest in `folder` whose source is `registry`.
/// Nothing is written.
///
/// # Errors
/// No such manifest or several; a tag that would move to another digest.
pub fn grow(
    folder: &Path,
    registry: &str,
    listing: &Listing,
    style: Option<Style>,
) -> Result<Growth, Error> {
    let tree = Tree::on_disk(folder)?;
    let manifests = Manifests::of_tree(&tree);
    let manifest = manifests.with_source(registry.trim_end_matches('/'))?;
    let (file, text) = manifests.images_of(manifest);
    let existing = Listing::of_images(&manifest.images);
    let style = style.unwrap_or_else(|| existing.style_of(text));
    let (grown, added) = union(existing, listing)?;
    let (dropped_comments, text) = rewritten(text, &grown, style);
    let growth = Growth { file: file.to_owned(), added, dropped_comments, text };
    let project = Path::new(file).parent().and_then(Path::file_name).unwrap_or_default();
    let relative = format!("images/{}/{IMAGES}", project.to_string_lossy());
    let mut after = Manifests::of_tree(&tree.with_text(relative, growth.text.clone()));
    Edges::of(&mut after);
    if let Some(problem) = after.problems().errors().next() {
        let place = format!("{}:{}:{}", problem.file, problem.line, problem.column);
        return Err(Error::Refused(format!("{place}: {}", problem.message)));
    }
    Ok(growth)
}

impl Growth {
    /// Puts the new text in the place of the old, at once.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&self) -> Result<(), Error> {
        let write = || {
            // A link stays one.
            let path = std::fs::canonicalize(&self.file)?;
            let folder = path.parent().unwrap_or(Path::new("/"));
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(self.text.as_bytes())?;
            file.as_file().set_permissions(std::fs::metadata(&path)?.permissions())?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(|source| Error::Unwritable { path: self.file.clone().into(), source })
    }
}

/// Both together, and what is new. Nothing is taken away, but for `latest` beside a tag that is new.
fn union(mut existing: Listing, new: &Listing) -> Result<(Listing, Vec<Added>), Error> {
    let mut added = Vec::new();
    let mut moves = Vec::new();
    for (image, digests) in new.images() {
        let held: BTreeMap<Tag, Sha256> = existing
            .images()
            .get(image)
            .into_iter()
            .flatten()
            .flat_map(|(digest, it)| it.tags.iter().map(move |tag| (tag.clone(), *digest)))
            .collect();
        for (digest, manifest) in digests {
            let mut tags = Vec::new();
            for tag in &manifest.tags {
                match held.get(tag) {
                    Some(other) if other != digest => {
                        moves.push(format!("{image}:{tag} from {other} to {digest}"));
                    }
                    Some(_) => {}
                    None => tags.push(tag.clone()),
                }
            }
            if tags.is_empty() {
                continue;
            }
            let all = &mut existing.manifest(image, *digest).tags;
            all.retain(|tag| !is_latest(tag));
            all.extend(tags.iter().cloned());
            added.push(Added { image: image.clone(), digest: *digest, tags });
        }
    }
    match moves.is_empty() {
        true => Ok((existing.sorted(), added)),
        false => Err(Error::Refused(format!(
            "tags would move to another digest: {}; give the new images other tags",
            moves.join(", ")
        ))),
    }
}

/// How many comments are not kept, and the text: comments before the first entry stay.
fn rewritten(old: &str, listing: &Listing, style: Style) -> (usize, String) {
    let head: Vec<&str> = old.lines().take_while(|line| is_head(line)).collect();
    let comments = old.lines().skip(head.len()).filter(|line| line.trim_start().starts_with('#'));
    let mut text: Vec<u8> =
        head.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
    // Memory takes everything.
    let _ = listing.write_yaml(&mut text, style);
    (comments.count(), String::from_utf8(text).unwrap_or_default())
}

fn is_head(line: &str) -> bool {
    line.starts_with('#') || line.trim().is_empty() || line.trim_end() == "---"
}

fn is_latest(tag: &Tag) -> bool {
    tag.as_str() == "latest"
}

impl Listing {
    pub(super) fn of_images(images: &[Image]) -> Self {
        let mut listing = Self::default();
        for image in images {
            for Listed { digest, tags, .. } in &image.digests {
                let tags = tags.iter().map(|(tag, _)| tag.clone());
                listing.manifest(&image.name, *digest).tags.extend(tags);
            }
        }
        listing.sorted()
    }

    /// The style that a text is the nearest to: the one that keeps more of its lines beside each other.
    fn style_of(&self, text: &str) -> Style {
        let lines: Vec<&str> = text.lines().collect();
        let pairs: HashSet<(&str, &str)> =
            lines.iter().copied().zip(lines.iter().copied().skip(1)).collect();
        let kept = |style| {
            let mut written = Vec::new();
            let _ = self.write_yaml(&mut written, style);
            let written = String::from_utf8(written).unwrap_or_default();
            let pairs =
                written.lines().zip(written.lines().skip(1)).filter(|pair| pairs.contains(pair));
            pairs.count()
        };
        match kept(Style::ByTag) > kept(Style::ByDigest) {
            true => Style::ByTag,
            false => Style::ByDigest,
        }
    }
}

impl Manifests {
    fn with_source(&self, registry: &str) -> Result<&Manifest, Error> {
        let mut found = self.manifests.iter().filter(|it| it.source.name == registry);
        match (found.next(), found.next()) {
            (Some(manifest), None) => Ok(manifest),
            (None, _) => Err(Error::Argument(format!("no manifest has {registry} as its source"))),
            (Some(_), Some(_)) => {
                Err(Error::Argument(format!("several manifests have {registry} as their source")))
            }
        }
    }

    fn images_of(&self, manifest: &Manifest) -> (&str, &str) {
        self.files.get(manifest.images_file).map_or(("", ""), |file| (&file.path, &file.text))
    }
}
