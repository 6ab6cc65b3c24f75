use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};

use super::Inner;
use super::files::{self, Unsynced, failed, is_absent};
use super::layout::{self, DATA};
use super::reader::{Reader, WHOLE};
use super::trust;
use crate::oci::{Digest, RepositoryName};
use crate::storage::{Blob, Error, Part};

/// A lease is renewed for somebody who only asks when it is older than this.
pub(super) const LEASE_STEP: Duration = Duration::from_secs(60);

/// A repository's link to content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// Size of the content in bytes.
    pub(super) size: u64,
    /// When it was last pushed, mounted, asked for or named by a manifest.
    pub(super) renewed: SystemTime,
}

impl Inner {
    /// The size of a blob. Who asks may be about to push a manifest that needs it, so the lease is
    /// renewed.
    pub(super) fn blob_size(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<u64, Error> {
        let link = self.demand_link(repository, digest)?;
        if link.renewed.elapsed().unwrap_or_default() > LEASE_STEP {
            let _shared = self.changes.shared()?;
            return self.lease(repository, digest);
        }
        Ok(self.open_content(repository, digest, link)?.1.len())
    }

    /// The size of a blob, whose lease is renewed. Held shared, so that it is not being removed.
    pub(super) fn lease(&self, repository: &RepositoryName, digest: &Digest) -> Result<u64, Error> {
        let link = self.demand_link(repository, digest)?;
        let (_, content) = self.open_content(repository, digest, link)?;
        renew(&self.layout.link(repository, digest))?;
        Ok(content.len())
    }

    pub(super) fn blob_open(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        part: Part,
    ) -> Result<Blob, Error> {
        let link = self.demand_link(repository, digest)?;
        let (file, metadata) = self.open_content(repository, digest, link)?;
        let size = metadata.len();
        let range = part.resolve(size)?;
        let unread = |e| failed("read", &self.layout.data(digest), e);
        let mut trusted = self.trust.judged(digest, &metadata).is_some();
        let whole = range == (0..size);
        if !trusted && (!whole || trust::is_small(size)) {
            self.vouch(digest, &file)?;
            trusted = true;
        }
        let file = Arc::new(file);
        let mut bytes = Reader::open(Arc::clone(&file), range.clone()).map_err(unread)?;
        if !trusted {
            bytes = trust::checked(Arc::clone(&self.trust), digest.clone(), metadata, bytes);
        }
        // What still has to be checked goes through our hands.
        let file = (trusted && range.end - range.start > WHOLE).then_some(file);
        Ok(Blob { size, range, bytes, file })
    }

    /// Hashes content. Blocking.
    pub(super) fn vouch(&self, digest: &Digest, file: &File) -> Result<(), Error> {
        let path = self.layout.data(digest);
        match self.trust.check(digest, file).map_err(|e| failed("read", &path, e))? {
            true => Ok(()),
            false => Err(wrong_content(&path)),
        }
    }

    /// The content behind a link. Content of another size than was linked is damage, and so is what was
    /// hashed and not right.
    fn open_content(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        link: Link,
    ) -> Result<(File, Metadata), Error> {
        let path = self.layout.data(digest);
        let damaged = |what: &str| Error::Damaged(format!("{}: {what}", path.display()));
        let file = match File::open(&path) {
            // Both may have gone since we looked, or come again. No lock here: who calls may hold it.
            Err(error) if is_absent(&error) => {
                self.demand_link(repository, digest)?;
                File::open(&path).map_err(|_| damaged("linked but not there"))?
            }
            result => result.map_err(|e| failed("open", &path, e))?,
        };
        let metadata = file.metadata().map_err(|e| failed("look at", &path, e))?;
        let size = metadata.len();
        if size != link.size {
            return Err(damaged(&format!("has {size} bytes, was stored with {}", link.size)));
        }
        match self.trust.judged(digest, &metadata) {
            Some(false) => Err(wrong_content(&path)),
            _ => Ok((file, metadata)),
        }
    }

    fn demand_link(&self, repository: &RepositoryName, digest: &Digest) -> Result<Link, Error> {
        read_link(&self.layout.link(repository, digest))?.ok_or_else(|| unknown(repository, digest))
    }

    /// Keeps a finished and synced file as a blob of a repository.
    pub(super) fn keep(
        &self,
        bytes: &Path,
        repository: &RepositoryName,
        digest: &Digest,
        size: u64,
    ) -> Result<(), Error> {
        let _shared = self.changes.shared()?;
        let folder = self.layout.content(digest);
        let mut unsynced = Unsynced::default();
        if folder.is_dir() || !self.keep_new(bytes, repository, digest, size, &mut unsynced)? {
            // This puts whole bytes in the place of maybe damaged ones; who reads the old file goes on
            // reading it.
            self.files.rename(bytes, &folder.join(DATA), &mut unsynced)?;
            self.link(repository, digest, size, &mut unsynced)?;
        }
        self.files.settle(unsynced)
    }

    /// Content and its first link appear at once. Says whether they did: somebody else may have been
    /// first.
    fn keep_new(
        &self,
        bytes: &Path,
        repository: &RepositoryName,
        digest: &Digest,
        size: u64,
        unsynced: &mut Unsynced,
    ) -> Result<bool, Error> {
        let draft = self.files.drafts.folder()?;
        let data = draft.path().join(DATA);
        self.files.rename(bytes, &data, &mut Unsynced::default())?;
        let link = self.files.drafts.link(&size.to_string())?;
        let name = layout::flat_name(repository);
        self.files.place(link, &draft.path().join(name), &mut Unsynced::default())?;
        self.files.sync_names(draft.path())?;
        let folder = self.layout.content(digest);
        match self.files.try_place(draft, &folder, unsynced) {
            Ok(()) => Ok(true),
            Err((draft, error)) if is_taken(&error) => {
                self.files.rename(&data, bytes, &mut Unsynced::default())?;
                drop(draft);
                Ok(false)
            }
            Err((_, error)) => Err(failed("rename to", &folder, error)),
        }
    }

    fn link(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        size: u64,
        unsynced: &mut Unsynced,
    ) -> Result<(), Error> {
        let draft = self.files.drafts.link(&size.to_string())?;
        self.files.place(draft, &self.layout.link(repository, digest), unsynced)?;
        // Somebody else may have made the folder just now.
        let folder = self.layout.content(digest);
        self.files.note(folder.parent().unwrap_or(&folder), unsynced);
        Ok(())
    }

    pub(super) fn blob_link(
        &self,
        from: &RepositoryName,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error> {
        let _shared = self.changes.shared()?;
        let size = self.lease(from, digest)?;
        let mut unsynced = Unsynced::default();
        self.link(to, digest, size, &mut unsynced)?;
        self.files.settle(unsynced)
    }

    pub(super) fn blob_repositories(&self, digest: &Digest) -> Result<Vec<RepositoryName>, Error> {
        let names = files::names(&self.layout.content(digest))?.unwrap_or_default();
        let mut found: Vec<_> = names.iter().filter_map(|name| layout::repository(name)).collect();
        found.sort_unstable();
        Ok(found)
    }

    pub(super) fn blob_unlink(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error> {
        let _alone = self.changes.alone()?;
        if self.files.remove(&self.layout.link(repository, digest))? {
            return Ok(());
        }
        Err(unknown(repository, digest))
    }
}

/// Systems differ in what they say of a folder that is not empty.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

/// A link that may be absent.
pub(super) fn read_link(path: &Path) -> Result<Option<Link>, Error> {
    let absent = |error: &io::Error| is_absent(error);
    let text = match fs::read_link(path) {
        Ok(text) => text,
        Err(error) if absent(&error) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(no_link(path)),
        Err(error) => return Err(failed("read", path, error)),
    };
    let size = text.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| no_link(path))?;
    let renewed = match path.symlink_metadata().and_then(|link| link.modified()) {
        Ok(renewed) => renewed,
        Err(error) if absent(&error) => return Ok(None),
        Err(error) => return Err(failed("look at", path, error)),
    };
    Ok(Some(Link { size, renewed }))
}

fn no_link(path: &Path) -> Error {
    Error::Damaged(format!("{}: not a link with a size", path.display()))
}

/// Sets the time of a link to now.
pub(super) fn renew(path: &Path) -> Result<(), Error> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| failed("renew the lease of", path, error.into()))
}

fn wrong_content(path: &Path) -> Error {
    Error::Damaged(format!("{}: has another digest", path.display()))
}

pub(super) fn unknown(repository: &RepositoryName, digest: &Digest) -> Error {
    Error::BlobUnknown { repository: repository.clone(), digest: digest.clone() }
}
