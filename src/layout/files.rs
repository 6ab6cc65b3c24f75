use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use super::Error;
use super::archive::{Archive, Found};
use super::part::{Content, Part};
use crate::oci::MAX_MANIFEST_BYTES;

/// The files of a layout, by their names in it. Blocking.
pub(super) struct Files {
    /// `TRANSPORT:PATH`
    place: String,
    kept: Kept,
}

enum Kept {
    Folder(PathBuf),
    Archive(Archive),
}

impl Files {
    /// Files in a folder.
    pub(super) fn folder(place: &str, path: &Path) -> Result<Self, Error> {
        let place = place.to_owned();
        match std::fs::metadata(path) {
            Err(source) => Err(Error::Unreadable { place, source }),
            Ok(found) if !found.is_dir() => {
                let reason = "it is no folder; write oci-archive: for an archive".to_owned();
                Err(Error::Foreign { place, reason })
            }
            Ok(_) => Ok(Self { place, kept: Kept::Folder(path.to_owned()) }),
        }
    }

    /// Files in a tar archive.
    pub(super) fn archive(place: &str, path: &Path) -> Result<Self, Error> {
        let place = place.to_owned();
        if path.is_dir() {
            let reason = "it is a folder; write oci: for a layout that is one".to_owned();
            return Err(Error::Foreign { place, reason });
        }
        let unreadable = |source| Error::Unreadable { place: place.clone(), source };
        let file = open(path, OFlags::empty()).map_err(unreadable)?;
        let archive = Archive::index(&Arc::new(file), &place)?;
        Ok(Self { kept: Kept::Archive(archive), place })
    }

    /// `TRANSPORT:PATH`, for messages.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Whether there is a file of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        match &self.kept {
            Kept::Folder(folder) => folder.join(name).symlink_metadata().is_ok(),
            Kept::Archive(archive) => archive.has(name),
        }
    }

    /// A file; `None` if there is none of this name.
    pub(super) fn open(&self, name: &str) -> Result<Option<Part>, Error> {
        match &self.kept {
            Kept::Folder(folder) => match self.open_in(folder, name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(self.unreadable(name, source)),
                Ok(part) => Ok(Some(part)),
            },
            Kept::Archive(archive) => match archive.find(name) {
                Found::Nothing => Ok(None),
                Found::Part(part) => Ok(Some(part)),
                Found::Wrong(reason) => {
                    let place = self.place.clone();
                    Err(Error::Damaged { place, reason: format!("its `{name}` {reason}") })
                }
            },
        }
    }

    /// The whole of a file that must be there, up to 4 MiB.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let part = self.open(name)?.ok_or_else(|| Error::Damaged {
            place: self.place.clone(),
            reason: format!("it has no `{name}`"),
        })?;
        self.read_all(part, name)
    }

    /// The whole of a part, up to 4 MiB.
    pub(super) fn read_all(&self, mut part: Part, name: &str) -> Result<Vec<u8>, Error> {
        let size = part.size();
        if size > MAX_MANIFEST_BYTES as u64 {
            let reason = format!("its `{name}` has {size} bytes, more than 4 MiB");
            return Err(Error::Damaged { place: self.place.clone(), reason });
        }
        let mut bytes = Vec::new();
        part.read_to_end(&mut bytes).map_err(|source| self.unreadable(name, source))?;
        Ok(bytes)
    }

    pub(super) fn unreadable(&self, name: &str, source: io::Error) -> Error {
        Error::Unreadable { place: format!("{name} of {}", self.place), source }
    }

    /// Links to blobs are followed, as what does not have the digest is not used. What is read without a
    /// digest is not: messages would show what a link leads to.
    fn open_in(&self, folder: &Path, name: &str) -> io::Result<Part> {
        let flags = if name.starts_with("blobs/") { OFlags::empty() } else { OFlags::NOFOLLOW };
        let file = open(&folder.join(name), flags)?;
        let size = file.metadata()?.len();
        Ok(Part::new(Content::At(Arc::new(file), 0), size))
    }
}

/// Opens what is a file and nothing else: a pipe would keep its reader waiting, a device never ends.
fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = (flags | OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is no file"))
}
