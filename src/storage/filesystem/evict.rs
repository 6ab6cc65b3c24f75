use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use super::Inner;
use super::blobs::read_link;
use super::files;
use super::layout::{self, DATA};
use crate::oci::{Digest, RepositoryName};
use crate::storage::Error;

/// Something that is kept, and when somebody last asked for it.
struct Kept {
    asked: SystemTime,
    size: u64,
    what: What,
}

enum What {
    Content(Digest),
    Manifest(Arc<RepositoryName>, Digest),
}

impl Inner {
    /// Removes content and manifests until at most so many bytes are left, first what nobody has asked for
    /// the longest. Who reads it goes on reading.
    pub(super) fn evict(&self, at_most: u64, spared: &HashSet<Digest>) -> Result<u64, Error> {
        let mut kept = self.all_content()?;
        kept.retain(|it| !matches!(&it.what, What::Content(digest) if spared.contains(digest)));
        kept.extend(self.all_manifests()?);
        let mut left: u64 = kept.iter().map(|it| it.size).sum();
        kept.sort_unstable_by_key(|it| it.asked);
        let mut manifests: BTreeMap<_, Vec<Digest>> = BTreeMap::new();
        for Kept { size, what, .. } in kept {
            if left <= at_most {
                break;
            }
            match what {
                What::Content(digest) => {
                    let _alone = self.changes.alone()?;
                    self.files.remove_all(&self.layout.content(&digest))?;
                }
                What::Manifest(repository, digest) => {
                    manifests.entry(repository).or_default().push(digest);
                }
            }
            left -= size;
        }
        for (repository, digests) in manifests {
            self.evict_manifests(&repository, &digests)?;
        }
        Ok(left)
    }

    /// All of a repository together: its tags are read once.
    fn evict_manifests(
        &self,
        repository: &RepositoryName,
        digests: &[Digest],
    ) -> Result<(), Error> {
        let tags = self.tags_by_digest(repository)?;
        let subjects: Vec<Option<Digest>> =
            digests.iter().map(|digest| self.subject_of(repository, digest)).collect();
        let doomed: Vec<_> =
            digests.iter().zip(&subjects).map(|(digest, it)| (digest, it.as_ref())).collect();
        let _alone = self.changes.alone()?;
        self.remove_manifests(repository, &doomed, &tags)
    }

    fn all_manifests(&self) -> Result<Vec<Kept>, Error> {
        let mut found = Vec::new();
        for repository in self.all_repositories()? {
            let repository = Arc::new(repository);
            let folder = self.layout.manifests(&repository);
            for algorithm in files::names(&folder)?.unwrap_or_default() {
                for hex in files::names(&folder.join(&algorithm))?.unwrap_or_default() {
                    let Ok(digest) = format!("{algorithm}:{hex}").parse() else { continue };
                    let file = self.layout.manifest(&repository, &digest);
                    let Ok(file) = file.metadata() else { continue };
                    let asked = file.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    let what = What::Manifest(Arc::clone(&repository), digest);
                    found.push(Kept { asked, size: file.len(), what });
                }
            }
        }
        Ok(found)
    }

    fn all_content(&self) -> Result<Vec<Kept>, Error> {
        let top = self.layout.contents();
        let mut found = Vec::new();
        for algorithm in files::names(&top)?.unwrap_or_default() {
            let folder = top.join(&algorithm);
            for first in files::names(&folder)?.unwrap_or_default() {
                for hex in files::names(&folder.join(first))?.unwrap_or_default() {
                    if let Ok(digest) = format!("{algorithm}:{hex}").parse() {
                        found.extend(self.content_of(digest)?);
                    }
                }
            }
        }
        Ok(found)
    }

    fn content_of(&self, digest: Digest) -> Result<Option<Kept>, Error> {
        let folder = self.layout.content(&digest);
        let Ok(data) = folder.join(DATA).metadata() else { return Ok(None) };
        let mut asked = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        for name in files::names(&folder)?.unwrap_or_default() {
            if layout::repository(&name).is_some()
                && let Ok(Some(link)) = read_link(&folder.join(name))
            {
                asked = asked.max(link.renewed);
            }
        }
        Ok(Some(Kept { asked, size: data.len(), what: What::Content(digest) }))
    }
}
