//! One file at a time: read it with its mode and owner, replace it by a rename.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use super::Error;

/// How the names of our temporary files start; six letters or digits follow.
const TEMPORARY: &str = ".zuul-images-";

/// Who owns a file and who may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A file as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) content: Vec<u8>,
    pub(super) access: Access,
}

/// Reads a regular file; `None` if it is not there.
pub(super) fn read(path: &Path) -> Result<Option<Present>, Error> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("look at", path)(error)),
    };
    if metadata.is_symlink() {
        return Err(Error::Symlink(path.to_owned()));
    }
    let content = fs::read(path).map_err(Error::io("read", path))?;
    let access =
        Access { mode: metadata.mode() & 0o7777, uid: metadata.uid(), gid: metadata.gid() };
    Ok(Some(Present { content, access }))
}

/// Replaces or creates `path`. The directory must exist.
///
/// A file that is a mount point of its own (`/etc/hosts` in a container) cannot be renamed over and is
/// written in place.
pub(super) fn replace(path: &Path, content: &[u8], access: Access) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(directory)
        .map_err(Error::io("create a file in", directory))?;
    let written = (|| {
        file.write_all(content)?;
        set_owner(file.path(), access)?;
        fs::set_permissions(file.path(), Permissions::from_mode(access.mode))?;
        file.as_file().sync_all()
    })();
    written.map_err(Error::io("write", path))?;
    match file.persist(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::ResourceBusy => {
            fs::write(path, content).map_err(Error::io("write", path))
        }
        Err(error) => Err(Error::io("replace", path)(error.error)),
    }
}

/// Removes the temporary files that a killed run of ours left in a directory; they may hold a login.
pub(super) fn sweep(directory: &Path) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Ok(());
    };
    // One that was given away already belongs to the user whose directory it is in.
    let owners = [own_uid()?, owner_of(directory)?.uid];
    for entry in entries.flatten() {
        let is_temporary = entry.file_name().to_str().is_some_and(|name| {
            name.strip_prefix(TEMPORARY).is_some_and(|rest| {
                rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
            })
        });
        let is_own = |metadata: fs::Metadata| {
            metadata.is_file() && metadata.nlink() == 1 && owners.contains(&metadata.uid())
        };
        if is_temporary && entry.metadata().is_ok_and(is_own) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Refuses a path that passes a link below its owner's home: it could lead anywhere.
pub(super) fn refuse_links(path: &Path, home: &Path) -> Result<(), Error> {
    for directory in path.ancestors().skip(1).take_while(|directory| *directory != home) {
        if fs::symlink_metadata(directory).is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(Error::Symlink(directory.to_owned()));
        }
    }
    Ok(())
}

/// Creates the missing directories above `path`.
///
/// Those below `owner`'s home directory are given to them and private (0700).
pub(super) fn create_parents(path: &Path, owner: Option<(Access, &Path)>) -> Result<(), Error> {
    let mut missing: Vec<&Path> =
        path.ancestors().skip(1).take_while(|directory| !directory.exists()).collect();
    missing.reverse();
    for directory in &missing {
        let private = owner.filter(|(_, home)| directory.starts_with(home) && directory != home);
        let mode = if private.is_some() { 0o700 } else { 0o755 };
        DirBuilder::new().mode(mode).create(directory).map_err(Error::io("create", *directory))?;
        if let Some((access, _)) = private {
            set_owner(directory, access).map_err(Error::io("give away", *directory))?;
        }
    }
    Ok(())
}

/// The owner of a directory, for a file that is created in it.
pub(super) fn owner_of(directory: &Path) -> Result<Access, Error> {
    let metadata = fs::metadata(directory).map_err(Error::io("look at", directory))?;
    Ok(Access { mode: metadata.mode() & 0o7777, uid: metadata.uid(), gid: metadata.gid() })
}

/// Who runs this.
pub(super) fn own_uid() -> Result<u32, Error> {
    Ok(owner_of(Path::new("/proc/self"))?.uid)
}

/// Removes a file; one that is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn set_owner(path: &Path, access: Access) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if (metadata.uid(), metadata.gid()) == (access.uid, access.gid) {
        return Ok(());
    }
    chown(path, Some(access.uid), Some(access.gid))
}
