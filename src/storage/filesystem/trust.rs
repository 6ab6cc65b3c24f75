use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::task::spawn_blocking;

use crate::oci::{Digest, Digester};
use crate::storage::ByteStream;

/// How many blobs are remembered; then it starts anew.
const REMEMBERED: usize = 100_000;

/// Content up to this size is hashed before its first byte leaves.
const SMALL: u64 = 1024 * 1024;

/// Which content was hashed since this process started, and has not been touched since, and whether it was
/// right. Other content may have changed on the disk: it is hashed when it is read for the first time.
#[derive(Default)]
pub(super) struct Trust(Mutex<HashMap<Digest, (Seen, bool)>>);

/// What a file looked like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for Seen {
    fn from(file: &Metadata) -> Self {
        let modified = (file.mtime(), file.mtime_nsec());
        Self { inode: file.ino(), size: file.len(), modified }
    }
}

impl Trust {
    /// Whether a file can be given out as it is; nothing where that has to be looked at.
    pub(super) fn judged(&self, digest: &Digest, file: &Metadata) -> Option<bool> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (as_it_was, is_right) = seen.get(digest)?;
        (*as_it_was == file.into()).then_some(*is_right)
    }

    /// It was hashed, as it is now.
    pub(super) fn add(&self, digest: &Digest, file: &Metadata, is_right: bool) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert(digest.clone(), (file.into(), is_right));
    }

    /// Hashes a file that is small, or of which a part is wanted. Blocking.
    pub(super) fn check(&self, digest: &Digest, file: &File) -> io::Result<bool> {
        let metadata = file.metadata()?;
        let mut digester = Digester::new(digest.algorithm());
        let mut buffer = vec![0; 256 * 1024];
        let mut offset = 0;
        loop {
            let count = file.read_at(&mut buffer, offset)?;
            if count == 0 {
                break;
            }
            digester.update(buffer.get(..count).unwrap_or_default());
            offset += count as u64;
        }
        let is_right = digester.finish() == *digest;
        self.add(digest, &metadata, is_right);
        Ok(is_right)
    }
}

/// Whether a whole file is hashed before it is given out, and not meanwhile.
pub(super) fn is_small(size: u64) -> bool {
    size <= SMALL
}

/// Bytes of a whole file that are hashed as they go. The last part is held back until the digest is
/// right; if it is not, the stream ends with an error.
pub(super) fn checked(
    trust: Arc<Trust>,
    digest: Digest,
    file: Metadata,
    bytes: ByteStream,
) -> ByteStream {
    let size = file.len();
    let state = (bytes, Digester::new(digest.algorithm()), 0);
    let hashed = stream::try_unfold(state, move |(mut bytes, mut digester, given)| {
        let (trust, digest, file) = (Arc::clone(&trust), digest.clone(), file.clone());
        async move {
            let Some(part) = bytes.next().await else { return Ok(None) };
            let part: Bytes = part?;
            let given = given + part.len() as u64;
            let hashing = spawn_blocking(move || {
                digester.update(&part);
                (digester, part)
            });
            let (digester, part) = hashing.await.map_err(io::Error::other)?;
            if given == size {
                let is_right = digester.clone().finish() == digest;
                trust.add(&digest, &file, is_right);
                if !is_right {
                    tracing::error!(%digest, "content is damaged; `verify` says which images need it");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "damaged content"));
                }
            }
            Ok(Some((part, (bytes, digester, given))))
        }
    });
    hashed.boxed()
}
