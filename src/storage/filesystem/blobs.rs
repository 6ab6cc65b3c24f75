use std::fs::File;

use super::Inner;
use super::files::{self, failed, is_absent};
use super::reader::Reader;
use crate::oci::{Digest, RepositoryName};
use crate::storage::{Blob, Error, Part};

impl Inner {
    pub(super) fn blob_size(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, Error> {
        let (_, size) = self.open_content(repository, digest)?;
        Ok(size)
    }

    pub(super) fn blob_open(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        part: Part,
    ) -> Result<Blob, Error> {
        let (file, size) = self.open_content(repository, digest)?;
        let range = part.resolve(size)?;
        let bytes = Reader::open(file, range.clone())
            .map_err(|e| failed("read", &self.layout.content(digest), e))?;
        Ok(Blob { size, range, bytes })
    }

    /// The content behind a link. Content of another size than was linked is damage.
    fn open_content(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(File, u64), Error> {
        let linked = self.linked_size(repository, digest)?.ok_or_else(|| Error::BlobUnknown {
            repository: repository.clone(),
            digest: digest.clone(),
        })?;
        let path = self.layout.content(digest);
        let damaged = |what: &str| Error::Damaged(format!("{}: {what}", path.display()));
        let file = match File::open(&path) {
            Err(error) if is_absent(&error) => return Err(damaged("linked but not there")),
            result => result.map_err(|e| failed("open", &path, e))?,
        };
        let size = file.metadata().map_err(|e| failed("look at", &path, e))?.len();
        if size != linked {
            return Err(damaged(&format!("has {size} bytes, was stored with {linked}")));
        }
        Ok((file, size))
    }

    pub(super) fn linked_size(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>, Error> {
        let path = self.layout.blob(repository, digest);
        let Some(text) = files::read(&path)? else {
            return Ok(None);
        };
        let size = String::from_utf8(text).ok().and_then(|text| text.trim_end().parse().ok());
        size.map(Some).ok_or_else(|| Error::Damaged(format!("{}: not a size", path.display())))
    }

    pub(super) fn link(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        size: u64,
    ) -> Result<(), Error> {
        self.files.write(&self.layout.blob(repository, digest), &[format!("{size}\n").as_bytes()])
    }

    pub(super) fn blob_link(
        &self,
        from: &RepositoryName,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error> {
        let _shared = self.changing();
        let (_, size) = self.open_content(from, digest)?;
        self.link(to, digest, size)
    }

    pub(super) fn blob_repositories(&self, digest: &Digest) -> Result<Vec<RepositoryName>, Error> {
        let mut found = self.all_repositories()?;
        found.retain(|repository| self.layout.blob(repository, digest).is_file());
        Ok(found)
    }

    pub(super) fn blob_unlink(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error> {
        let _alone = self.removing();
        if self.files.remove(&self.layout.blob(repository, digest))? {
            return Ok(());
        }
        Err(Error::BlobUnknown { repository: repository.clone(), digest: digest.clone() })
    }
}
