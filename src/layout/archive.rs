use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tar::EntryType;

use super::Error;
use super::headers::Headers;
use super::part::Part;
use crate::oci::printable;

/// Where in a tar archive its files lie. Nothing is unpacked to the disk: a name is only looked up, so one
/// that leads out of the archive leads nowhere.
pub(super) struct Archive {
    entries: HashMap<String, Entry>,
}

enum Entry {
    File(Part),
    /// The name of another entry.
    Link(String),
    /// Something that is not read, and why.
    Unusable(&'static str),
}

/// What is known of a name.
pub(super) enum Found {
    /// No entry has it.
    Nothing,
    /// Its content.
    Part(Part),
    /// Its entry cannot be used: the rest of a sentence about it.
    Wrong(String),
}

/// How many links in a row are followed.
const MOST_LINKS: usize = 8;

const GZIP: &[u8] = b"\x1f\x8b";

/// What archives begin with that are not read, and what unpacks them.
const PACKED: [(&[u8], &str); 3] =
    [(b"\x28\xb5\x2f\xfd", "unzstd"), (b"BZh", "bunzip2"), (b"\xfd7zXZ\0", "unxz")];

impl Archive {
    /// Reads the headers of all entries and passes over their contents; one that is compressed by gzip is
    /// unpacked for that, and once more as its files are read.
    pub(super) fn index(file: &Arc<File>, place: &str) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable { place: place.to_owned(), source };
        let foreign = |reason: String| Error::Foreign { place: place.to_owned(), reason };
        let wrong = |error: io::Error| {
            let reason = printable(&error.to_string(), 200);
            foreign(format!("it is no tar archive that can be read: {reason}"))
        };
        let length = file.metadata().map_err(unreadable)?.len();
        let mut start = [0; 6];
        let count = file.read_at(&mut start, 0).map_err(unreadable)?;
        let start = start.get(..count).unwrap_or_default();
        if let Some((_, tool)) = PACKED.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Err(foreign(format!("it is compressed; unpack it with {tool} first")));
        }
        let headers = match start.starts_with(GZIP) {
            true => Headers::packed(file, length),
            false => Headers::plain(file, length),
        };
        let mut archive = Self { entries: HashMap::new() };
        let mut tar = tar::Archive::new(&headers);
        for entry in tar.entries_with_seek().map_err(unreadable)? {
            archive.add(&entry.map_err(wrong)?, &headers).map_err(wrong)?;
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
                Some(Entry::File(part)) => return Found::Part(part.clone()),
                Some(Entry::Link(target)) => name = target,
                Some(Entry::Unusable(why)) => return Found::Wrong((*why).to_owned()),
            }
        }
        Found::Wrong("is a link to a link without an end".to_owned())
    }

    fn add<R: Read>(&mut self, entry: &tar::Entry<'_, R>, headers: &Headers) -> io::Result<()> {
        let kind = entry.header().entry_type();
        let Some(name) = text(entry.path_bytes()).and_then(|path| resolve("", &path)) else {
            return Ok(());
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
            (EntryType::Regular | EntryType::Continuous, _) => {
                Entry::File(headers.part(entry.size())?)
            }
            (EntryType::Link | EntryType::Symlink, Some(target)) => Entry::Link(target),
            (EntryType::Link | EntryType::Symlink, None) => {
                Entry::Unusable("is a link that leads out of the archive")
            }
            (EntryType::Directory, _) => return Ok(()),
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
        Ok(())
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
