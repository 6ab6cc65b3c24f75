use std::collections::HashSet;
use std::time::SystemTime;

use super::Inner;
use super::blobs::read_link;
use super::files;
use super::layout::{self, DATA};
use crate::oci::Digest;
use crate::storage::Error;

/// Content, and when somebody last asked for it.
struct Content {
    asked: SystemTime,
    size: u64,
    digest: Digest,
}

impl Inner {
    /// Removes content until at most so many bytes are left, first what nobody has asked for the
    /// longest. Who reads it goes on reading.
    pub(super) fn evict(&self, at_most: u64, spared: &HashSet<Digest>) -> Result<u64, Error> {
        let mut held = self.all_content()?;
        held.retain(|content| !spared.contains(&content.digest));
        let mut left: u64 = held.iter().map(|content| content.size).sum();
        held.sort_unstable_by_key(|content| content.asked);
        for content in held {
            if left <= at_most {
                break;
            }
            let _alone = self.changes.alone()?;
            self.files.remove_all(&self.layout.content(&content.digest))?;
            left -= content.size;
        }
        Ok(left)
    }

    fn all_content(&self) -> Result<Vec<Content>, Error> {
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

    fn content_of(&self, digest: Digest) -> Result<Option<Content>, Error> {
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
        Ok(Some(Content { asked, size: data.len(), digest }))
    }
}
