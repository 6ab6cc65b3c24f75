use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::Inner;
use super::blobs::unknown;
use super::files::{failed, is_absent};
use crate::oci::{Digest, RepositoryName};
use crate::storage::Error;

/// Content of another store on this machine that may be linked.
pub(super) struct Lent {
    path: PathBuf,
    size: u64,
}

impl Inner {
    /// Content to be linked into another store, which does not look at it again: it is hashed here where
    /// it was not before.
    pub(super) fn lend(&self, repository: &RepositoryName, digest: &Digest) -> Result<Lent, Error> {
        let size = self.blob_size(repository, digest)?;
        let path = self.layout.data(digest);
        let file = match File::open(&path) {
            Err(error) if is_absent(&error) => return Err(unknown(repository, digest)),
            file => file.map_err(|e| failed("open", &path, e))?,
        };
        let metadata = file.metadata().map_err(|e| failed("look at", &path, e))?;
        if self.trust.judged(digest, &metadata).is_none() {
            self.vouch(digest, &file)?;
        }
        Ok(Lent { path, size })
    }

    /// Takes content of another store by a second name for the same file, which nobody ever writes to;
    /// `None` if the two stores are not on one disk.
    pub(super) fn adopt(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        lent: &Lent,
    ) -> Result<Option<u64>, Error> {
        let draft = match self.files.drafts.shared(&lent.path) {
            Ok(draft) => draft,
            Err(error) if is_elsewhere(&error) => return Ok(None),
            // It had to make room meanwhile.
            Err(error) if is_absent(&error) => return Err(unknown(repository, digest)),
            Err(error) => return Err(failed("link", &lent.path, error)),
        };
        let path = draft.path();
        let file = File::open(path).map_err(|e| failed("open", path, e))?;
        self.files.sync_data(&file, path)?;
        self.keep(path, repository, digest, lent.size)?;
        if let Ok(metadata) = file.metadata() {
            self.trust.add(digest, &metadata, true);
        }
        Ok(Some(lent.size))
    }
}

/// Another disk, one without links, or a file that has too many names already.
fn is_elsewhere(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::CrossesDevices
            | io::ErrorKind::TooManyLinks
            | io::ErrorKind::Unsupported
            | io::ErrorKind::PermissionDenied
    )
}
