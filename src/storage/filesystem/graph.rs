//! Which manifests of a repository need which.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::SystemTime;

use super::Inner;
use super::{files, layout};
use crate::oci::{Digest, Manifest, RepositoryName, Tag};
use crate::storage::Error;

/// The manifests of a repository.
#[derive(Default)]
pub(super) struct Graph {
    nodes: HashMap<Digest, Node>,
    /// The manifests attached to each.
    attached: HashMap<Digest, Vec<Digest>>,
    /// Whether a file that the disk cannot read is damage, and no error.
    forgiving: bool,
}

/// A manifest.
pub(super) struct Node {
    /// When it was last pushed or pulled.
    pub(super) used: SystemTime,
    /// What it is; nothing where that cannot be read.
    pub(super) manifest: Option<Manifest>,
}

impl Graph {
    /// Reads every manifest of a repository.
    pub(super) fn read(inner: &Inner, repository: &RepositoryName) -> Result<Self, Error> {
        let mut graph = Self::default();
        graph.refresh(inner, repository)?;
        Ok(graph)
    }

    /// Reads every manifest the disk can read.
    pub(super) fn read_what_can_be(
        inner: &Inner,
        repository: &RepositoryName,
    ) -> Result<Self, Error> {
        let mut graph = Self { forgiving: true, ..Self::default() };
        graph.refresh(inner, repository)?;
        Ok(graph)
    }

    /// Looks at the repository again: reads what is new, and forgets what is gone.
    pub(super) fn refresh(
        &mut self,
        inner: &Inner,
        repository: &RepositoryName,
    ) -> Result<(), Error> {
        let mut before = std::mem::take(&mut self.nodes);
        for (digest, used) in inner.manifests_used(repository)? {
            let manifest = match before.remove(&digest) {
                Some(node) => node.manifest,
                None => match inner.parsed(repository, &digest) {
                    Err(Error::Io { .. }) if self.forgiving => None,
                    parsed => parsed?,
                },
            };
            self.nodes.insert(digest, Node { used, manifest });
        }
        self.attached.clear();
        for (digest, node) in &self.nodes {
            if let Some(subject) = node.manifest.as_ref().and_then(Manifest::subject) {
                let attached = self.attached.entry(subject.digest.clone()).or_default();
                attached.push(digest.clone());
            }
        }
        Ok(())
    }

    /// The manifests, in no order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&Digest, &Node)> {
        self.nodes.iter()
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<&Node> {
        self.nodes.get(digest)
    }

    /// What `roots` reach: themselves, the children of indexes, and what is attached to any of it.
    pub(super) fn reach<'a>(
        &'a self,
        roots: impl Iterator<Item = &'a Digest>,
    ) -> BTreeSet<&'a Digest> {
        let mut reached = BTreeSet::new();
        let mut waiting: Vec<&Digest> = roots.collect();
        while let Some(digest) = waiting.pop() {
            let Some((digest, node)) = self.nodes.get_key_value(digest) else { continue };
            if !reached.insert(digest) {
                continue;
            }
            let children = node.manifest.iter().flat_map(|manifest| manifest.children());
            waiting.extend(children.map(|child| &child.digest));
            waiting.extend(self.attached.get(digest).into_iter().flatten());
        }
        reached
    }
}

impl Inner {
    /// The manifests of a repository, and when each was last pushed or pulled.
    fn manifests_used(
        &self,
        repository: &RepositoryName,
    ) -> Result<Vec<(Digest, SystemTime)>, Error> {
        let folder = self.layout.manifests(repository);
        let mut found = Vec::new();
        for algorithm in files::names(&folder)?.unwrap_or_default() {
            let folder = folder.join(&algorithm);
            for name in files::names(&folder)?.unwrap_or_default() {
                let Some(digest) = layout::digest(&format!("{algorithm}-{name}")) else { continue };
                let path = folder.join(name);
                match path.metadata().and_then(|file| file.modified()) {
                    Ok(used) => found.push((digest, used)),
                    Err(error) if files::is_absent(&error) => {}
                    Err(error) => return Err(files::failed("look at", &path, error)),
                }
            }
        }
        Ok(found)
    }

    /// A manifest by what is in it; nothing where that is damaged or gone.
    fn parsed(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Manifest>, Error> {
        match self.manifest_get(repository, digest) {
            Ok(stored) => Ok(Manifest::parse(stored.bytes, Some(&stored.media_type)).ok()),
            Err(Error::ManifestUnknown { .. } | Error::Damaged(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a manifest is there and can be read.
    pub(super) fn is_readable(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, Error> {
        match self.parsed(repository, digest) {
            Err(Error::Io { .. }) => Ok(false),
            parsed => Ok(parsed?.is_some()),
        }
    }

    /// The tags of a repository by what they point at. Damaged ones are left out.
    pub(super) fn tags_by_digest(
        &self,
        repository: &RepositoryName,
    ) -> Result<BTreeMap<Digest, Vec<Tag>>, Error> {
        let mut tags: BTreeMap<Digest, Vec<Tag>> = BTreeMap::new();
        for tag in self.all_tags(repository)?.unwrap_or_default() {
            match self.tag_get(repository, &tag) {
                Ok(state) => tags.entry(state.digest).or_default().push(tag),
                Err(Error::ManifestUnknown { .. } | Error::Damaged(_) | Error::Io { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(tags)
    }
}
