use std::collections::HashMap;
use std::time::Instant;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::reader::Reader;
use super::source::Sources;
use super::{Error, Item, Options};
use crate::client::{self, Client, ManifestHead, Repository, Sight};
use crate::oci::{Descriptor, Digest, Manifest, Platform, Reference, media_type};

/// One item after a look at both sides.
#[derive(Debug)]
pub(super) struct Resolved {
    /// Its place among the images of the run.
    pub(super) image: usize,
    /// `FROM to TO`, for errors.
    pub(super) name: String,
    pub(super) from: Reader,
    pub(super) to: Repository,
    pub(super) reference: Reference,
    pub(super) digest: Digest,
    pub(super) platforms: Vec<Platform>,
    /// Whether it lists other manifests.
    pub(super) is_index: bool,
    /// Whether the destination keeps what its own builds pushed.
    pub(super) kept: bool,
    /// What is to be written; `None` if the destination holds this digest, or keeps its own.
    pub(super) content: Option<Content>,
    /// That the tag is free, where one that is not may not be moved.
    pub(super) free: Option<Sight>,
}

/// The manifests of an image that its destination lacks.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) root: Manifest,
    pub(super) below: Vec<Below>,
    /// Nothing stands under the tag yet, so that blobs are probably missing, too.
    pub(super) fresh: bool,
    /// Source and destination are one repository, which has all blobs.
    pub(super) in_place: bool,
}

/// A manifest below a root.
#[derive(Debug)]
pub(super) struct Below {
    /// An index is higher than all that it lists.
    pub(super) height: usize,
    /// What the index calls it that lists it, by whichever algorithm.
    pub(super) digest: Digest,
    pub(super) manifest: Manifest,
}

/// No image has indexes nested deeper.
const MAX_DEPTH: usize = 8;
const MAX_MANIFESTS: usize = 10_000;

/// Looks at both sides of an item. An image that is in place costs one HEAD on each side; one that
/// the destination has no tag for costs no HEAD at the source.
pub(super) async fn resolve(
    client: &Client,
    sources: &Sources,
    (image, item): (usize, &Item),
    options: &Options,
) -> Result<Resolved, Error> {
    let name = format!("{} to {}", item.from, item.to);
    let builds = &item.builds;
    let from = item.from.reader(client, builds);
    let to = client.image(&item.to).for_build(builds.origin.as_ref());
    let to = if options.dry_run { to } else { to.writable() };
    let to = if builds.keep_pushed { to.keeping_pushed() } else { to };
    let asked = Instant::now();
    let there = to.head(&item.to.reference).await;
    let there = there.map_err(|source| Error::client(&name, source))?;
    let look = Look { name: &name, sources, from: &from, to: &to, options };
    let resolved = |digest, platforms, content| Resolved {
        image,
        name: name.clone(),
        from: from.clone(),
        to: to.clone(),
        reference: item.to.reference.clone(),
        digest,
        platforms,
        is_index: there.as_ref().is_some_and(ManifestHead::is_index),
        kept: false,
        content,
        free: (options.never_move && there.is_none()).then(|| Sight::new(None, asked)),
    };
    if let Some(there) = there.as_ref().filter(|there| builds.keep_pushed && there.origin.is_none())
    {
        return Ok(Resolved { kept: true, ..resolved(there.digest.clone(), Vec::new(), None) });
    }
    let (digest, manifest) = look.source(item, there.as_ref()).await?;
    let root = match manifest {
        None => return Ok(resolved(digest, Vec::new(), None)),
        Some(manifest) => look.selected(manifest).await?,
    };
    let platforms = root.platforms();
    let digest = match &item.to.reference {
        Reference::Tag(_) => root.digest().clone(),
        Reference::Digest(wanted) => Digest::of(wanted.algorithm(), root.bytes()),
    };
    if let Reference::Digest(wanted) = &item.to.reference
        && *wanted != digest
    {
        return Err(Error::Refused { item: name.clone(), expected: wanted.clone(), found: digest });
    }
    if there.as_ref().is_some_and(|there| there.digest == digest) {
        return Ok(resolved(digest, platforms, None));
    }
    if let Some(there) = there.as_ref().filter(|_| options.never_move) {
        return Err(Error::Moves { item: name.clone(), found: there.digest.clone() });
    }
    let in_place = from
        .repository()
        .is_some_and(|from| from.registry() == to.registry() && from.name() == to.name());
    let fresh = there.is_none();
    let content = match in_place {
        true => Content { root, below: Vec::new(), fresh, in_place },
        false => look.content(root, fresh).await?,
    };
    Ok(resolved(digest, platforms, Some(content)))
}

/// Levels from the top become heights from the bottom.
fn heights(levels: Vec<Vec<(Digest, Manifest)>>) -> Vec<Below> {
    let mut heights: HashMap<Digest, usize> = HashMap::new();
    let mut below = Vec::new();
    for (digest, manifest) in levels.into_iter().rev().flatten() {
        let children = manifest.children().iter();
        let highest = children.filter_map(|child| heights.get(&child.digest)).max();
        let height = highest.map_or(1, |highest| highest + 1);
        heights.insert(digest.clone(), height);
        below.push(Below { height, digest, manifest });
    }
    below
}

impl Content {
    /// How many bytes its manifests have.
    pub(super) fn bytes(&self) -> usize {
        let below = self.below.iter().map(|below| &below.manifest);
        below.chain([&self.root]).map(|manifest| manifest.bytes().len()).sum()
    }
}

pub(super) struct Look<'a> {
    pub(super) name: &'a str,
    pub(super) sources: &'a Sources,
    pub(super) from: &'a Reader,
    pub(super) to: &'a Repository,
    pub(super) options: &'a Options,
}

impl Look<'_> {
    /// A manifest with those below it that the destination, another repository, lacks.
    pub(super) async fn content(&self, root: Manifest, fresh: bool) -> Result<Content, Error> {
        let below = heights(self.below(&root, fresh).await?);
        Ok(Content { root, below, fresh, in_place: false })
    }

    /// What the source is; its manifest is not read if the destination holds just that.
    async fn source(
        &self,
        item: &Item,
        there: Option<&ManifestHead>,
    ) -> Result<(Digest, Option<Manifest>), Error> {
        let spares = self.options.platforms.is_empty() && !self.options.tell_platforms;
        let reference = &item.from.reference();
        // Reading a manifest tells its digest as well, so HEAD pays only where reading may be spared.
        let digest = match (reference, there, self.from) {
            (Reference::Digest(digest), ..) => Some(digest.clone()),
            (Reference::Tag(_), Some(_), Reader::Registry(from)) if spares => {
                match self.sources.digest(from, reference).await {
                    Ok(digest) => Some(digest.ok_or_else(|| self.not_found())?),
                    // An answer to HEAD has no words; that to GET says why.
                    Err(error) if error.is_denied() => None,
                    Err(error) => return Err(self.failed(error)),
                }
            }
            (Reference::Tag(_), ..) => None,
        };
        if let Some(digest) = digest {
            self.demand(item, &digest)?;
            if spares && there.is_some_and(|there| there.digest == digest) {
                return Ok((digest, None));
            }
            let manifest = self.manifest(&digest.clone().into()).await?;
            return Ok((digest, Some(manifest)));
        }
        let manifest = self.manifest(reference).await?;
        self.demand(item, manifest.digest())?;
        Ok((manifest.digest().clone(), Some(manifest)))
    }

    fn demand(&self, item: &Item, found: &Digest) -> Result<(), Error> {
        match &item.expect {
            Some(expected) if expected != found => Err(Error::Refused {
                item: self.name.to_owned(),
                expected: expected.clone(),
                found: found.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// The one manifest to carry when only some platforms are wanted.
    async fn selected(&self, root: Manifest) -> Result<Manifest, Error> {
        let wanted = &self.options.platforms;
        if wanted.is_empty() {
            return Ok(root);
        }
        let refuse = |reason: String| Error::Platform { item: self.name.to_owned(), reason };
        let offered = root.platforms();
        if offered.is_empty() {
            return Err(refuse(
                "it is a single image, not an index; leave the platforms away".to_owned(),
            ));
        }
        let all: Vec<String> = offered.iter().map(ToString::to_string).collect();
        if let Some(missing) = wanted.iter().find(|platform| !offered.contains(platform)) {
            let all = all.join(", ");
            return Err(refuse(format!("it has no {missing}, only {all}")));
        }
        if offered.iter().all(|platform| wanted.contains(platform)) {
            return Ok(root);
        }
        let [platform] = wanted.as_slice() else {
            return Err(refuse(format!(
                "an index is never rewritten; ask for one platform, or for all: {}",
                all.join(", ")
            )));
        };
        let child = root
            .children()
            .iter()
            .find(|child| child.platform.as_ref() == Some(platform))
            .ok_or_else(|| refuse(format!("it has no {platform}")))?;
        self.manifest(&child.digest.clone().into()).await
    }

    /// The manifests below `root` that the destination lacks, level by level. One that stands in
    /// several places is kept in the deepest.
    async fn below(
        &self,
        root: &Manifest,
        fresh: bool,
    ) -> Result<Vec<Vec<(Digest, Manifest)>>, Error> {
        let mut levels: Vec<Vec<(Digest, Manifest)>> = Vec::new();
        let mut children = self.children(root)?;
        let mut count = 0;
        while !children.is_empty() {
            count += children.len();
            if levels.len() >= MAX_DEPTH || count > MAX_MANIFESTS {
                return Err(self.unsupported("its indexes are nested too deep or list too much"));
            }
            let wanted: HashMap<Digest, Descriptor> =
                children.into_iter().map(|child| (child.digest.clone(), child)).collect();
            for level in &mut levels {
                level.retain(|(digest, _)| !wanted.contains_key(digest));
            }
            let level: Vec<Option<(Digest, Manifest)>> = stream::iter(wanted.into_values())
                .map(|child| self.missing(child, fresh))
                .buffered(self.options.parallel.max(1))
                .try_collect()
                .await?;
            let level: Vec<(Digest, Manifest)> = level.into_iter().flatten().collect();
            let mut next = Vec::new();
            for (_, manifest) in &level {
                next.extend(self.children(manifest)?);
            }
            levels.push(level);
            children = next;
        }
        Ok(levels)
    }

    /// A manifest below the root, unless the destination has it.
    async fn missing(
        &self,
        child: Descriptor,
        fresh: bool,
    ) -> Result<Option<(Digest, Manifest)>, Error> {
        // An image is there with its blobs; an index may be there without its children.
        if !fresh && !media_type::is_index(&child.media_type) {
            let there = self.sources.has_image(self.to, &child).await;
            if there.map_err(|error| self.failed(error))? {
                return Ok(None);
            }
        }
        let manifest = self.manifest(&child.digest.clone().into()).await?;
        Ok(Some((child.digest, manifest)))
    }

    /// The manifests an index lists. What else it lists is a blob, see [`super::plan::needed`].
    fn children(&self, manifest: &Manifest) -> Result<Vec<Descriptor>, Error> {
        const OLD_MANIFEST: &str = "application/vnd.docker.distribution.manifest.";
        let (manifests, others): (Vec<_>, Vec<_>) =
            manifest.children().iter().partition(|child| child.is_manifest());
        if let Some(old) = others.iter().find(|child| child.media_type.starts_with(OLD_MANIFEST)) {
            return Err(self.unsupported(&format!(
                "its index lists {} of the type `{}`, which is not carried",
                old.digest,
                old.media_type.escape_debug()
            )));
        }
        Ok(manifests.into_iter().cloned().collect())
    }

    pub(super) async fn manifest(&self, reference: &Reference) -> Result<Manifest, Error> {
        let found = match (self.from, reference) {
            (Reader::Registry(from), _) => self.sources.manifest(from, reference).await,
            (Reader::Layout(from), Reference::Digest(digest)) => {
                let read = from.manifest(digest).await;
                return read.map_err(|source| Error::layout(self.name, source));
            }
            (Reader::Made(_, made), Reference::Digest(digest)) if digest == made.digest() => {
                return Ok((**made).clone());
            }
            (Reader::Layout(_), Reference::Tag(_)) | (Reader::Made(..), _) => Ok(None),
            // Blobs only are shared.
            (Reader::Shared(_), _) => Ok(None),
        };
        found.map_err(|error| self.failed(error))?.ok_or_else(|| self.not_found())
    }

    fn failed(&self, source: client::Error) -> Error {
        Error::client(self.name, source)
    }

    fn not_found(&self) -> Error {
        Error::NotFound { item: self.name.to_owned() }
    }

    fn unsupported(&self, reason: &str) -> Error {
        Error::Unsupported { item: self.name.to_owned(), reason: reason.to_owned() }
    }
}
