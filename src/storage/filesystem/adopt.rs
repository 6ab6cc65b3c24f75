use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::Inner;
use super::blobs::unknown;
use super::drafts::Draft;
use super::files::{failed, is_absent};
use crate::oci::{Digest, RepositoryName};
use crate::storage::Error;

/// How often a file that is replaced meanwhile is looked up anew.
const TRIES: usize = 100;

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
        let draft = match self.share(&lent.path) {
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

    /// A second name for a file. Between looking it up and naming it, another with the same content may be
    /// put in its place, and the one found is gone.
    fn share(&self, path: &Path) -> io::Result<Draft> {
        let mut shared = self.files.drafts.shared(path);
        for _ in 0..TRIES {
            if !shared.as_ref().is_err_and(|error| is_absent(error) && path.exists()) {
                break;
            }
            shared = self.files.drafts.shared(path);
        }
        shared
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
