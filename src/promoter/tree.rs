use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::Error;

/// The files below a folder, now or as a commit has them.
pub(super) struct Tree {
    /// What the paths are shown behind.
    root: PathBuf,
    /// Relative, with `/` between the parts.
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
    /// Links to what is not below the folder.
    astray: BTreeSet<String>,
    /// Folders that are not read, and why.
    unread: BTreeMap<String, String>,
    /// What is not read from the disk when it is asked for.
    contents: BTreeMap<String, Vec<u8>>,
}

/// A manifest is two levels below the folder; what lies much deeper is not even listed.
const MAX_DEPTH: usize = 8;
/// The largest file that is read.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

impl Tree {
    /// What is on disk. Links to files count as files, those to folders as folders one level down only. A change
    /// may bring links; what they show of other files would be told to everybody.
    ///
    /// # Errors
    /// The folder itself is not there or cannot be read.
    pub(super) fn on_disk(root: &Path) -> Result<Self, Error> {
        let mut tree = Self {
            root: root.to_owned(),
            files: BTreeSet::new(),
            folders: BTreeSet::new(),
            astray: BTreeSet::new(),
            unread: BTreeMap::new(),
            contents: BTreeMap::new(),
        };
        tree.walk("", 0).map_err(|error| Error::unreadable(root, error))?;
        Ok(tree)
    }

    /// What a commit has.
    pub(super) fn of_contents(root: &Path, contents: BTreeMap<String, Vec<u8>>) -> Self {
        let files: BTreeSet<String> = contents.keys().cloned().collect();
        let mut folders = BTreeSet::new();
        for path in &files {
            folders.extend(
                path.match_indices('/').filter_map(|(end, _)| path.get(..end)).map(str::to_owned),
            );
        }
        let (astray, unread) = (BTreeSet::new(), BTreeMap::new());
        Self { root: root.to_owned(), files, folders, astray, unread, contents }
    }

    /// The same with another text in one file.
    pub(super) fn with_text(mut self, path: String, text: String) -> Self {
        self.contents.insert(path, text.into_bytes());
        self
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    pub(super) fn folders(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(String::as_str)
    }

    pub(super) fn astray(&self) -> impl Iterator<Item = &str> {
        self.astray.iter().map(String::as_str)
    }

    pub(super) fn unread(&self) -> impl Iterator<Item = (&str, &str)> {
        self.unread.iter().map(|(path, why)| (path.as_str(), why.as_str()))
    }

    pub(super) fn has_file(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    pub(super) fn has_folder(&self, path: &str) -> bool {
        self.folders.contains(path)
    }

    /// The name to show.
    pub(super) fn shown(&self, path: &str) -> String {
        // Zuul wants paths as git has them.
        let shown = self.root.join(path);
        shown.strip_prefix(".").unwrap_or(&shown).display().to_string()
    }

    /// # Errors
    /// A file that cannot be read or is too large.
    pub(super) fn bytes(&self, path: &str) -> io::Result<Vec<u8>> {
        match self.contents.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None => content(&self.root.join(path)),
        }
    }

    fn walk(&mut self, folder: &str, depth: usize) -> io::Result<()> {
        for entry in fs::read_dir(self.root.join(folder))? {
            let entry = entry?;
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            let relative = match folder {
                "" => shown.into_owned(),
                folder => format!("{folder}/{shown}"),
            };
            let kind = entry.file_type()?;
            let (is_file, is_folder) = match kind.is_symlink() {
                false => (kind.is_file(), kind.is_dir()),
                true => fs::metadata(entry.path()).map_or((false, false), |target| {
                    (target.is_file(), target.is_dir() && depth == 1)
                }),
            };
            if kind.is_symlink()
                && (depth > 0 || is_read(&relative))
                && self.is_astray(&entry.path())
            {
                self.astray.insert(relative);
                continue;
            }
            if is_folder && depth < MAX_DEPTH {
                // Beside these two may lie anything.
                if (depth > 0 || is_read(&relative))
                    && let Some(why) = self.descend(&name, &relative, depth)
                {
                    self.unread.insert(relative, why);
                } else {
                    self.folders.insert(relative);
                }
            } else if is_file {
                self.files.insert(relative);
            }
        }
        Ok(())
    }

    /// Reads a folder, or says why that is not possible.
    fn descend(&mut self, name: &OsStr, relative: &str, depth: usize) -> Option<String> {
        // By the name that is shown nothing in it would be found.
        if name.to_str().is_none() {
            return Some("its name is no UTF-8; rename it".to_owned());
        }
        self.walk(relative, depth + 1).err().map(|error| error.to_string())
    }

    /// Whether a link leads to something that is not below the folder.
    fn is_astray(&self, link: &Path) -> bool {
        // What leads nowhere shows nothing.
        fs::canonicalize(link).is_ok_and(|target| {
            fs::canonicalize(&self.root).is_ok_and(|root| !target.starts_with(root))
        })
    }
}

/// Whether anything is read of what has this name right below the folder.
fn is_read(name: &str) -> bool {
    matches!(name, "images" | "manifests")
}

/// What a file holds.
///
/// # Errors
/// A file that cannot be read or is too large.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    content(path).map_err(|error| Error::unreadable(path, error))
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Not every file says how large it is.
    fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_BYTES {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 64 MiB")),
        false => Ok(bytes),
    }
}
