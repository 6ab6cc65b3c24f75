//! The part of `verify` that is about repositories: what their manifests, tags and referrers name has to
//! be there.

use std::collections::{BTreeMap, BTreeSet};

use super::blobs::read_link;
use super::graph::{Graph, Node};
use super::{Inner, files, layout};
use crate::oci::{Digest, Manifest, RepositoryName, Tag};
use crate::storage::{Damage, DamageKind, Error, TagState, Verified, Verifying};

impl Inner {
    pub(super) fn verify_repository<'a>(
        &self,
        repository: &RepositoryName,
        how: Verifying,
        bad: &'a BTreeMap<Digest, String>,
        images: &mut BTreeMap<&'a Digest, Vec<String>>,
        verified: &mut Verified,
    ) -> Result<(), Error> {
        let (mut graph, mut damage) = self.repository_damage(repository, how, bad)?;
        if !damage.is_empty() {
            let _shared = self.changes.shared()?;
            (graph, damage) = self.repository_damage(repository, how, bad)?;
        }
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let tags = self.all_tags(repository)?.unwrap_or_default();
        verified.totals.manifests += count(graph.nodes().count());
        verified.totals.tags += count(tags.len());
        verified.totals.referrers += count(self.listed_referrers(repository)?.len());
        let mut names = None;
        for found in &mut damage {
            if let (DamageKind::Manifest, Ok(digest)) = (found.kind, found.name.parse()) {
                let names = match &names {
                    Some(names) => names,
                    None => names.insert(self.tags_by_digest(repository)?),
                };
                found.images = images_of(repository, &graph, names, &digest);
            }
        }
        for (digest, node) in graph.nodes() {
            if how.sparse && self.is_sparse(repository, node)? {
                verified.totals.sparse += 1;
            }
            for blob in node.manifest.iter().flat_map(Manifest::blobs) {
                if let Some((bad, _)) = bad.get_key_value(&blob.digest) {
                    let names = match &names {
                        Some(names) => names,
                        None => names.insert(self.tags_by_digest(repository)?),
                    };
                    let affected = images_of(repository, &graph, names, digest);
                    images.entry(bad).or_default().extend(affected);
                }
            }
        }
        verified.damage.append(&mut damage);
        Ok(())
    }

    /// All that is wrong in a repository; damaged content is told elsewhere. Looks at everything in the
    /// other order than it is written in, as pushes go on.
    fn repository_damage(
        &self,
        repository: &RepositoryName,
        how: Verifying,
        bad: &BTreeMap<Digest, String>,
    ) -> Result<(Graph, Vec<Damage>), Error> {
        let tags = self.all_tags(repository)?.unwrap_or_default();
        let held: Vec<_> =
            tags.iter().map(|tag| (tag.as_str(), self.tag_get(repository, tag))).collect();
        let graph = Graph::read_what_can_be(self, repository)?;
        let mut damage = Vec::new();
        let mut add = |kind, name: &str, problem: String| {
            let (repository, name) = (Some(repository.clone()), name.to_owned());
            let images = Vec::new();
            damage.push(Damage { kind, repository, name, problem, images, removed: false });
        };
        for (digest, node) in graph.nodes() {
            let Some(manifest) = &node.manifest else {
                let problem = "it cannot be read, has another digest, or is no manifest";
                add(DamageKind::Manifest, digest.as_str(), problem.to_owned());
                continue;
            };
            for problem in self.missing(repository, how, manifest, bad)? {
                add(DamageKind::Manifest, digest.as_str(), problem);
            }
            if let Some(subject) = manifest.subject() {
                let path = self.layout.referrer(repository, &subject.digest, digest);
                if !path.exists() {
                    let problem = format!("it is not listed with its subject {}", subject.digest);
                    add(DamageKind::Referrer, digest.as_str(), problem);
                }
            }
        }
        for (tag, held) in held {
            if let Some(problem) = tag_problem(held, &graph)? {
                add(DamageKind::Tag, tag, problem);
            }
        }
        for (subject, referrer) in self.listed_referrers(repository)? {
            // An entry without its manifest is not shown to anybody.
            let manifest = graph.get(&referrer).and_then(|node| node.manifest.as_ref());
            let Some(manifest) = manifest else { continue };
            if manifest.subject().is_none_or(|named| named.digest != subject) {
                let problem = format!("it is listed with {subject}, which is not its subject");
                add(DamageKind::Referrer, referrer.as_str(), problem);
            }
        }
        Ok((graph, damage))
    }

    /// What a manifest needs and the repository does not have.
    fn missing(
        &self,
        repository: &RepositoryName,
        how: Verifying,
        manifest: &Manifest,
        bad: &BTreeMap<Digest, String>,
    ) -> Result<Vec<String>, Error> {
        let mut problems = BTreeSet::new();
        for blob in manifest.blobs() {
            match read_link(&self.layout.link(repository, &blob.digest)) {
                _ if bad.contains_key(&blob.digest) => {}
                Ok(Some(link)) if link.size == blob.size => {}
                Ok(Some(link)) => drop(problems.insert(format!(
                    "it says {} bytes of blob {}, which has {}",
                    blob.size, blob.digest, link.size
                ))),
                Ok(None) if how.sparse => {}
                Ok(None) => drop(problems.insert(format!("its blob {} is not there", blob.digest))),
                Err(Error::Damaged(_)) => {
                    problems.insert(format!("the link to its blob {} is damaged", blob.digest));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(problems.into_iter().collect())
    }

    /// Whether a manifest lacks blobs, where it may.
    fn is_sparse(&self, repository: &RepositoryName, node: &Node) -> Result<bool, Error> {
        for blob in node.manifest.iter().flat_map(Manifest::blobs) {
            match read_link(&self.layout.link(repository, &blob.digest)) {
                Ok(None) => return Ok(true),
                Ok(Some(_)) | Err(Error::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Subjects and what is listed with them.
    fn listed_referrers(
        &self,
        repository: &RepositoryName,
    ) -> Result<Vec<(Digest, Digest)>, Error> {
        let top = self.layout.all_referrers(repository);
        let mut listed = Vec::new();
        for name in files::names(&top)?.unwrap_or_default() {
            let Some(subject) = layout::digest(&name) else { continue };
            let names = files::names(&top.join(&name))?.unwrap_or_default();
            let digests = names.iter().filter_map(|name| layout::digest(name));
            listed.extend(digests.map(|digest| (subject.clone(), digest)));
        }
        Ok(listed)
    }
}

/// What is wrong with what a tag holds.
fn tag_problem(held: Result<TagState, Error>, graph: &Graph) -> Result<Option<String>, Error> {
    match held {
        Ok(state) if graph.get(&state.digest).is_some() => Ok(None),
        Ok(state) => Ok(Some(format!("its manifest {} is not there", state.digest))),
        Err(Error::Damaged(_)) => Ok(Some("it names no digest".to_owned())),
        Err(Error::Io { source, .. }) => Ok(Some(format!("it cannot be read: {source}"))),
        Err(Error::ManifestUnknown { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names of the images that a manifest is, or is part of.
fn images_of(
    repository: &RepositoryName,
    graph: &Graph,
    tags: &BTreeMap<Digest, Vec<Tag>>,
    digest: &Digest,
) -> Vec<String> {
    let lists = |node: &Node| {
        let children = node.manifest.iter().flat_map(|manifest| manifest.children());
        children.into_iter().any(|child| child.digest == *digest)
    };
    let parents = graph.nodes().filter(|(_, node)| lists(node)).map(|(digest, _)| digest);
    let mut images: Vec<String> = std::iter::once(digest)
        .chain(parents)
        .filter_map(|digest| tags.get(digest))
        .flatten()
        .map(|tag| format!("{repository}:{tag}", tag = tag.as_str()))
        .collect();
    if images.is_empty() {
        images.push(format!("{repository}@{digest}"));
    }
    images.sort_unstable();
    images
}
