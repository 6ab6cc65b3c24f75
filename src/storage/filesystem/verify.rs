//! Looks through a store for what is not as it was stored, also while it is served.
//!
//! Everything is looked at without a lock. What seems damaged may be on its way in or out, so it is
//! looked at again while nobody removes anything, and counts only if it is damaged still.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::Inner;
use super::blobs::read_link;
use super::files::{self, Unsynced, failed, is_absent};
use super::graph::Graph;
use super::layout::{self, DATA};
use crate::oci::{Digest, Digester, Manifest, RepositoryName};
use crate::storage::{Damage, DamageKind, Error, Verified, Verifying};

/// How much of a file is in memory at once.
const CHUNK: usize = 512 * 1024;

/// How many threads hash, at most.
const THREADS: usize = 8;

/// What threads found so far.
#[derive(Default)]
struct Found {
    verified: Verified,
    /// Content that is damaged or gone, with what is wrong.
    bad: BTreeMap<Digest, String>,
    error: Option<Error>,
}

impl Inner {
    /// Looks through the store; `progress` gets the number of bytes hashed since it was last called.
    /// Blocking.
    pub(super) fn verify(
        &self,
        how: Verifying,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Verified, Error> {
        let Found { mut verified, bad, error } = self.verify_contents(progress)?;
        if let Some(error) = error {
            return Err(error);
        }
        let mut images: BTreeMap<&Digest, Vec<String>> = BTreeMap::new();
        for repository in self.all_repositories()? {
            verified.totals.repositories += 1;
            self.verify_repository(&repository, how, &bad, &mut images, &mut verified)?;
        }
        for (digest, problem) in &bad {
            verified.damage.push(Damage {
                kind: DamageKind::Blob,
                repository: None,
                name: digest.to_string(),
                problem: problem.clone(),
                images: images.remove(digest).unwrap_or_default(),
                removed: false,
            });
        }
        verified.damage.sort_by(|left, right| {
            (left.kind, &left.repository, &left.name).cmp(&(
                right.kind,
                &right.repository,
                &right.name,
            ))
        });
        if how.remove_damaged {
            self.remove_damaged(&mut verified.damage)?;
        }
        Ok(verified)
    }

    /// Hashes all content, on as many threads as there are processors.
    fn verify_contents(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<Found, Error> {
        let top = self.layout.contents();
        let mut folders = Vec::new();
        for algorithm in files::names(&top)?.unwrap_or_default() {
            let parts = files::names(&top.join(&algorithm))?.unwrap_or_default();
            folders.extend(parts.into_iter().map(|part| (algorithm.clone(), part)));
        }
        let (folders, found) = (Mutex::new(folders), Mutex::new(Found::default()));
        let next = || folders.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut buffer = vec![0; CHUNK];
                    while let Some((algorithm, part)) = next() {
                        let folder = top.join(&algorithm).join(part);
                        let result =
                            self.verify_part(&folder, &algorithm, &mut buffer, progress, &found);
                        if let Err(error) = result {
                            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                            found.error.get_or_insert(error);
                            break;
                        }
                    }
                });
            }
        });
        Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn verify_part(
        &self,
        folder: &Path,
        algorithm: &str,
        buffer: &mut [u8],
        progress: &(dyn Fn(u64) + Sync),
        found: &Mutex<Found>,
    ) -> Result<(), Error> {
        for name in files::names(folder)?.unwrap_or_default() {
            let Some(digest) = layout::digest(&format!("{algorithm}-{name}")) else { continue };
            let (size, mut problem) = self.hash_content(&digest, buffer, progress)?;
            let mut links = self.verify_links(&digest, size)?;
            if problem.is_some() || !links.is_empty() {
                let _shared = self.changes.shared()?;
                let (size, again) = self.hash_content(&digest, buffer, progress)?;
                problem = again;
                links = self.verify_links(&digest, size)?;
                // Content that nobody links is left over, however it looks.
                if self.blob_repositories(&digest)?.is_empty() {
                    (problem, links) = (None, Vec::new());
                }
            }
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.verified.totals.blobs += 1;
            found.verified.totals.bytes += size.unwrap_or_default();
            // Where the content is bad, that says it all.
            match problem {
                Some(problem) => drop(found.bad.insert(digest, problem)),
                None => found.verified.damage.extend(links),
            }
        }
        Ok(())
    }

    /// The size of content, and what is wrong with it.
    fn hash_content(
        &self,
        digest: &Digest,
        buffer: &mut [u8],
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<(Option<u64>, Option<String>), Error> {
        let path = self.layout.data(digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => {
                return Ok((None, Some("its content is not there".to_owned())));
            }
            Err(error) => return Err(failed("open", &path, error)),
        };
        let (mut digester, mut size) = (Digester::new(digest.algorithm()), 0);
        loop {
            match file.read(buffer) {
                Ok(0) => break,
                Ok(count) => {
                    digester.update(buffer.get(..count).unwrap_or_default());
                    size += count as u64;
                    progress(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A disk that cannot read it any more: the others are still to be looked at.
                Err(error) => return Ok((None, Some(format!("it cannot be read: {error}")))),
            }
        }
        let actual = digester.finish();
        let problem =
            (actual != *digest).then(|| format!("its {size} bytes have the digest {actual}"));
        Ok((Some(size), problem))
    }

    fn verify_links(&self, digest: &Digest, size: Option<u64>) -> Result<Vec<Damage>, Error> {
        let mut damage = Vec::new();
        let folder = self.layout.content(digest);
        for name in files::names(&folder)?.unwrap_or_default() {
            if name == DATA {
                continue;
            }
            let repository = layout::repository(&name);
            let problem = match read_link(&folder.join(&name)) {
                Ok(Some(link)) if Some(link.size) == size && repository.is_some() => continue,
                Ok(None) => continue,
                Ok(Some(_)) if repository.is_none() => format!("`{name}` is no repository"),
                Ok(Some(link)) => {
                    format!("it says {} bytes, the content has {}", link.size, size.unwrap_or(0))
                }
                Err(Error::Damaged(_)) => "it is no link with a size".to_owned(),
                Err(error) => return Err(error),
            };
            damage.push(Damage {
                kind: DamageKind::Link,
                repository,
                name: digest.to_string(),
                problem,
                images: Vec::new(),
                removed: false,
            });
        }
        Ok(damage)
    }

    fn verify_repository<'a>(
        &self,
        repository: &RepositoryName,
        how: Verifying,
        bad: &'a BTreeMap<Digest, String>,
        images: &mut BTreeMap<&'a Digest, Vec<String>>,
        verified: &mut Verified,
    ) -> Result<(), Error> {
        let mut graph = Graph::read(self, repository)?;
        let mut damage = self.repository_damage(repository, how, &graph, bad)?;
        if !damage.is_empty() {
            let _shared = self.changes.shared()?;
            graph = Graph::read(self, repository)?;
            damage = self.repository_damage(repository, how, &graph, bad)?;
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

    /// All that is wrong in a repository; damaged content is told elsewhere.
    fn repository_damage(
        &self,
        repository: &RepositoryName,
        how: Verifying,
        graph: &Graph,
        bad: &BTreeMap<Digest, String>,
    ) -> Result<Vec<Damage>, Error> {
        let mut damage = Vec::new();
        let mut add = |kind, name: String, problem: String| {
            let repository = Some(repository.clone());
            let images = Vec::new();
            damage.push(Damage { kind, repository, name, problem, images, removed: false });
        };
        for (digest, node) in graph.nodes() {
            let Some(manifest) = &node.manifest else {
                let problem = "its bytes have another digest, or are no manifest".to_owned();
                add(DamageKind::Manifest, digest.to_string(), problem);
                continue;
            };
            for problem in self.missing(repository, how, manifest, bad)? {
                add(DamageKind::Manifest, digest.to_string(), problem);
            }
            if let Some(subject) = manifest.subject() {
                let path = self.layout.referrer(repository, &subject.digest, digest);
                if !path.exists() {
                    let problem = format!("it is not listed with its subject {}", subject.digest);
                    add(DamageKind::Referrer, digest.to_string(), problem);
                }
            }
        }
        for tag in self.all_tags(repository)?.unwrap_or_default() {
            match self.tag_get(repository, &tag) {
                Ok(state) if graph.get(&state.digest).is_some() => {}
                Ok(state) => {
                    let problem = format!("its manifest {} is not there", state.digest);
                    add(DamageKind::Tag, tag.as_str().to_owned(), problem);
                }
                Err(Error::Damaged(_)) => {
                    add(DamageKind::Tag, tag.as_str().to_owned(), "it names no digest".to_owned());
                }
                Err(Error::ManifestUnknown { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        for (subject, referrer) in self.listed_referrers(repository)? {
            // An entry without its manifest is not shown to anybody.
            let manifest = graph.get(&referrer).and_then(|node| node.manifest.as_ref());
            let Some(manifest) = manifest else { continue };
            if manifest.subject().is_none_or(|named| named.digest != subject) {
                let problem = format!("it is listed with {subject}, which is not its subject");
                add(DamageKind::Referrer, referrer.to_string(), problem);
            }
        }
        Ok(damage)
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
                Err(Error::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(problems.into_iter().collect())
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

    /// Removes damaged content and unreadable manifests.
    fn remove_damaged(&self, damage: &mut [Damage]) -> Result<(), Error> {
        let mut trash = Vec::new();
        for found in damage {
            let Ok(digest) = found.name.parse::<Digest>() else { continue };
            match (found.kind, &found.repository) {
                (DamageKind::Blob, _) => {
                    let _alone = self.changes.alone()?;
                    let mut unsynced = Unsynced::default();
                    // Somebody may have pushed it again since.
                    let (_, problem) = self.hash_content(&digest, &mut vec![0; CHUNK], &|_| {})?;
                    if problem.is_some() {
                        trash.extend(self.throw_away(&digest, &mut unsynced)?);
                        found.removed = true;
                    }
                    self.files.settle(unsynced)?;
                }
                (DamageKind::Manifest, Some(repository))
                    if !self.is_readable(repository, &digest)? =>
                {
                    found.removed = self.manifest_delete(repository, &digest).is_ok();
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The names of the images that a manifest is, or is part of.
fn images_of(
    repository: &RepositoryName,
    graph: &Graph,
    tags: &BTreeMap<Digest, Vec<crate::oci::Tag>>,
    digest: &Digest,
) -> Vec<String> {
    let lists = |node: &super::graph::Node| {
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
