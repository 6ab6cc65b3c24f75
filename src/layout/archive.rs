use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use tar::EntryType;

use super::Error;
use crate::oci::printable;

/// Where in a tar archive its files lie. Nothing is unpacked: a name is only looked up, so one that leads
/// out of the archive leads nowhere.
pub(super) struct Archive {
    entries: HashMap<String, Entry>,
}

enum Entry {
    File {
        at: u64,
        size: u64,
    },
    /// The name of another entry.
    Link(String),
    /// Something that is not read, and why.
    Unusable(&'static str),
}

/// What is known of a name.
pub(super) enum Found {
    /// No entry has it.
    Nothing,
    /// Where its content lies.
    Part {
        /// Offset in the archive.
        at: u64,
        /// Length.
        size: u64,
    },
    /// Its entry cannot be used: the rest of a sentence about it.
    Wrong(String),
}

/// How much of an archive may be names and headers: some 30,000 files, where images have hundreds.
const MOST_HEADERS: u64 = 16 * 1024 * 1024;

/// How many links in a row are followed.
const MOST_LINKS: usize = 8;

/// What other archives than a tar begin with.
const PACKED: [(&[u8], &str); 4] = [
    (b"\x1f\x8b", "gunzip"),
    (b"\x28\xb5\x2f\xfd", "unzstd"),
    (b"BZh", "bunzip2"),
    (b"\xfd7zXZ\0", "unxz"),
];

impl Archive {
    /// Reads the headers of all entries and passes over their contents.
    pub(super) fn index(file: &File, length: u64, place: &str) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable { place: place.to_owned(), source };
        let foreign = |reason: String| Error::Foreign { place: place.to_owned(), reason };
        let mut start = [0; 6];
        let count = file.read_at(&mut start, 0).map_err(unreadable)?;
        let start = start.get(..count).unwrap_or_default();
        if let Some((_, tool)) = PACKED.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Err(foreign(format!("it is compressed; unpack it with {tool} first")));
        }
        let mut archive = Self { entries: HashMap::new() };
        let reader = Headers { file, at: Cell::new(0), left: Cell::new(MOST_HEADERS) };
        let mut tar = tar::Archive::new(reader);
        let entries = tar.entries_with_seek().map_err(unreadable)?;
        for entry in entries {
            let entry = entry.map_err(|error| {
                let reason = printable(&error.to_string(), 200);
                foreign(format!("it is no tar archive that can be read: {reason}"))
            })?;
            let (at, size) = (entry.raw_file_position(), entry.size());
            if at.checked_add(size).is_none_or(|end| end > length) {
                let reason = format!("it ends at byte {length}, in the middle of a file");
                return Err(Error::Damaged { place: place.to_owned(), reason });
            }
            archive.add(&entry, at, size);
        }
        Ok(archive)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Looks a name up, following links inside the archive.
    pub(super) fn find(&self, name: &str) -> Found {
        let mut name = name;
        for _ in 0..MOST_LINKS {
            match self.entries.get(name) {
                None => return Found::Nothing,
                Some(Entry::File { at, size }) => return Found::Part { at: *at, size: *size },
                Some(Entry::Link(target)) => name = target,
                Some(Entry::Unusable(why)) => return Found::Wrong((*why).to_owned()),
            }
        }
        Found::Wrong("is a link to a link without an end".to_owned())
    }

    fn add<R: Read>(&mut self, entry: &tar::Entry<'_, R>, at: u64, size: u64) {
        let kind = entry.header().entry_type();
        let Some(name) = text(entry.path_bytes()).and_then(|path| resolve("", &path)) else {
            return;
        };
        let link = || entry.link_name_bytes().as_deref().and_then(text);
        // A hard link is named from the top, a symbolic one from where it stands.
        let target = match kind {
            EntryType::Link => link().and_then(|target| resolve("", &target)),
            EntryType::Symlink => {
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                link().and_then(|target| resolve(folder, &target))
            }
            _ => None,
        };
        let made = match (kind, target) {
            (EntryType::Regular | EntryType::Continuous, _) => Entry::File { at, size },
            (EntryType::Link | EntryType::Symlink, Some(target)) => Entry::Link(target),
            (EntryType::Link | EntryType::Symlink, None) => {
                Entry::Unusable("is a link that leads out of the archive")
            }
            (EntryType::Directory, _) => return,
            (EntryType::GNUSparse, _) => Entry::Unusable("is stored as a sparse file"),
            _ => Entry::Unusable("is no file"),
        };
        match self.entries.entry(name) {
            Place::Vacant(place) => drop(place.insert(made)),
            // Readers differ in which of two they take.
            Place::Occupied(mut place) => {
                drop(place.insert(Entry::Unusable("is in the archive twice")));
            }
        }
    }
}

fn text(bytes: impl AsRef<[u8]>) -> Option<String> {
    std::str::from_utf8(bytes.as_ref()).ok().map(str::to_owned)
}

/// A path as seen from a folder of the archive; `None` if it leads out.
fn resolve(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The archive for who reads its headers: there is a limit to how much is read, as the library takes the
/// long names of an entry into memory, however long they are.
struct Headers<'a> {
    file: &'a File,
    at: Cell<u64>,
    left: Cell<u64>,
}

impl Read for Headers<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at.get())?;
        let left = self.left.get().checked_sub(count as u64);
        self.left.set(left.ok_or_else(|| io::Error::other("it has too many or too long names"))?);
        self.at.set(self.at.get() + count as u64);
        Ok(count)
    }
}

impl Seek for Headers<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Current(count) => self.at.get().checked_add_signed(count),
            SeekFrom::Start(_) | SeekFrom::End(_) => None,
        };
        self.at.set(to.ok_or(io::ErrorKind::InvalidInput)?);
        Ok(self.at.get())
    }
}
