//! Looks through a store for what is not as it was stored, also while it is served.
//!
//! Everything is looked at without a lock. What seems damaged may be on its way in or out, so it is
//! looked at again while nobody removes anything, and counts only if it is damaged still.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::Inner;
use super::blobs::read_link;
use super::drafts::Draft;
use super::files::{self, Unsynced, failed, is_absent};
use super::layout::{self, DATA};
use crate::oci::{Digest, Digester, RepositoryName, Tag};
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
            // What has another name is nobody's link, and in nobody's way.
            let Some(repository) = layout::repository(&name) else { continue };
            let problem = match read_link(&folder.join(&name)) {
                Ok(Some(link)) if Some(link.size) == size => continue,
                Ok(None) => continue,
                Ok(Some(link)) => {
                    format!("it says {} bytes, the content has {}", link.size, size.unwrap_or(0))
                }
                Err(Error::Damaged(_)) => "it is no link with a size".to_owned(),
                Err(error) => return Err(error),
            };
            damage.push(Damage {
                kind: DamageKind::Link,
                repository: Some(repository),
                name: digest.to_string(),
                problem,
                images: Vec::new(),
                removed: false,
            });
        }
        Ok(damage)
    }

    /// Removes what is damaged and stands in the way of a new push. Each is looked at again: somebody may
    /// have pushed it since.
    fn remove_damaged(&self, damage: &mut [Damage]) -> Result<(), Error> {
        // Removed after the lock was given back: large files take their time.
        let mut trash = Vec::new();
        for found in damage {
            found.removed = match (found.kind, &found.repository, found.name.parse::<Digest>()) {
                (DamageKind::Blob, _, Ok(digest)) => {
                    let draft = self.remove_bad_content(&digest)?;
                    let removed = draft.is_some();
                    trash.extend(draft);
                    removed
                }
                (DamageKind::Link, Some(repository), Ok(digest)) => {
                    self.remove_bad_link(repository, &digest)?
                }
                (DamageKind::Manifest, Some(repository), Ok(digest))
                    if !self.is_readable(repository, &digest)? =>
                {
                    self.manifest_delete(repository, &digest).is_ok()
                }
                (DamageKind::Tag, Some(repository), _) => {
                    self.remove_bad_tag(repository, &found.name)?
                }
                _ => false,
            };
        }
        Ok(())
    }

    fn remove_bad_content(&self, digest: &Digest) -> Result<Option<Draft>, Error> {
        let _alone = self.changes.alone()?;
        let (_, problem) = self.hash_content(digest, &mut vec![0; CHUNK], &|_| {})?;
        if problem.is_none() {
            return Ok(None);
        }
        let mut unsynced = Unsynced::default();
        let draft = self.throw_away(digest, &mut unsynced)?;
        self.files.settle(unsynced)?;
        Ok(draft)
    }

    fn remove_bad_link(&self, repository: &RepositoryName, digest: &Digest) -> Result<bool, Error> {
        let _alone = self.changes.alone()?;
        let path = self.layout.link(repository, digest);
        let size = match self.layout.data(digest).metadata() {
            Ok(data) => Some(data.len()),
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(failed("look at", &path, error)),
        };
        match read_link(&path) {
            Ok(None) => Ok(false),
            Ok(Some(link)) if Some(link.size) == size => Ok(false),
            Ok(Some(_)) | Err(Error::Damaged(_)) => self.files.remove(&path),
            Err(error) => Err(error),
        }
    }

    fn remove_bad_tag(&self, repository: &RepositoryName, name: &str) -> Result<bool, Error> {
        let Ok(tag) = name.parse::<Tag>() else { return Ok(false) };
        let _alone = self.changes.alone()?;
        match self.tag_get(repository, &tag) {
            Ok(state) if self.layout.manifest(repository, &state.digest).is_file() => Ok(false),
            Err(Error::ManifestUnknown { .. }) => Ok(false),
            // What cannot be removed either stays, and is said to.
            Ok(_) | Err(Error::Damaged(_) | Error::Io { .. }) => {
                Ok(self.files.remove(&self.layout.tag(repository, &tag)).unwrap_or(false))
            }
            Err(error) => Err(error),
        }
    }
}
