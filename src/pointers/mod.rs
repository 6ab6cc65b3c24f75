//! The speculative pointers of a buildset registry: which name and tag stands for which digest in the
//! intermediate registry, and how to read it there.
//!
//! [`Pointers`] keeps what `pull --lazy` registered, also over a restart, and opens the way to an image's
//! source with the token of its pointer. Nothing is fetched here but a look whether an image can be had;
//! what is read through a pointer, and that what was pushed wins over it, is `layers`' concern.

mod source;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use self::source::Sources;
use crate::client;
use crate::http::Network;
use crate::oci::{RepositoryName, Tag};
use crate::zuul::{self, Pointer};

/// The most pointers kept.
pub const MAX_POINTERS: usize = 10_000;

/// Pointers by name and tag.
type Held = BTreeMap<RepositoryName, BTreeMap<Tag, Pointer>>;

/// The pointers of a registry.
pub struct Pointers {
    file: PathBuf,
    held: RwLock<Held>,
    sources: Sources,
    /// One change at a time: the file is what is held.
    changing: tokio::sync::Mutex<()>,
}

/// Why pointers are not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file they are kept in cannot be read or written.
    #[error("cannot {doing} {file}: {source}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// There would be too many.
    #[error("no more than {MAX_POINTERS} pointers are kept")]
    TooMany,
}

impl Pointers {
    /// The pointers kept in a file; none where it is not there. Sources may redirect to addresses of the
    /// public network, and to `allowed` ones. Blocking.
    ///
    /// # Errors
    /// A file that cannot be read or is not one of ours.
    pub fn open(file: &Path, allowed: Vec<Network>) -> Result<Self, Error> {
        let mut held = Held::new();
        insert(&mut held, Self::read(file)?);
        let sources = Sources::new(allowed);
        Ok(Self {
            file: file.to_owned(),
            held: RwLock::new(held),
            sources,
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// What a file holds, for another process than the one that serves.
    ///
    /// # Errors
    /// As [`Pointers::open`].
    pub fn read(file: &Path) -> Result<Vec<Pointer>, Error> {
        let failed = |source| failed("read", file, source);
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        // What serde says may hold a token.
        let kept: zuul::Pointers = serde_json::from_slice(&bytes).map_err(|error| {
            let place = format!("line {} column {}", error.line(), error.column());
            let reason = format!("it is no list of pointers ({place}); remove it to forget them");
            failed(io::Error::new(io::ErrorKind::InvalidData, reason))
        })?;
        Ok(kept.pointers)
    }

    /// Keeps pointers, each in place of the one that stood under its name and tag, and says of each
    /// whether that changes anything.
    ///
    /// # Errors
    /// They cannot be written down, or would be too many; then none is kept.
    pub async fn keep(&self, pointers: Vec<Pointer>) -> Result<Vec<bool>, Error> {
        if pointers.is_empty() {
            return Ok(Vec::new());
        }
        let _alone = self.changing.lock().await;
        let mut next = self.held().clone();
        let changed = insert(&mut next, pointers);
        let all: Vec<Pointer> = next.values().flat_map(BTreeMap::values).cloned().collect();
        if all.len() > MAX_POINTERS {
            return Err(Error::TooMany);
        }
        let file = self.file.clone();
        let writing = tokio::task::spawn_blocking(move || write(&file, all)).await;
        let written = writing.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|source| failed("write", &self.file, source))?;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(changed)
    }

    /// The pointer of a name and tag.
    #[must_use]
    pub fn at(&self, name: &RepositoryName, tag: &Tag) -> Option<Pointer> {
        self.held().get(name)?.get(tag).cloned()
    }

    /// The pointers of a name.
    #[must_use]
    pub fn of(&self, name: &RepositoryName) -> Vec<Pointer> {
        self.held().get(name).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// All pointers, by name and tag.
    #[must_use]
    pub fn all(&self) -> Vec<Pointer> {
        self.held().values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// The repository a pointer leads to, read as its token allows. Nothing is sent.
    ///
    /// # Errors
    /// Its certificate is none.
    pub fn source(&self, pointer: &Pointer) -> Result<client::Repository, client::Error> {
        self.sources.repository(pointer)
    }

    /// Whether the images can be had through these pointers from here, for each; if not, why, for people.
    pub async fn check(&self, pointers: &[Pointer]) -> Vec<Result<(), String>> {
        self.sources.check(pointers).await
    }

    fn held(&self) -> std::sync::RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shared by whoever reads through them.
pub type Shared = Arc<Pointers>;

fn insert(held: &mut Held, pointers: Vec<Pointer>) -> Vec<bool> {
    let mut changed = Vec::new();
    for pointer in pointers {
        let tags = held.entry(pointer.name.clone()).or_default();
        let digest = pointer.digest.clone();
        let before = tags.insert(pointer.tag.clone(), pointer);
        changed.push(before.is_none_or(|before| before.digest != digest));
    }
    changed
}

/// Whole or not at all, and for the owner alone.
fn write(file: &Path, pointers: Vec<Pointer>) -> io::Result<()> {
    let bytes = serde_json::to_vec(&zuul::Pointers { pointers })?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    new.write_all(&bytes)?;
    new.as_file().sync_all()?;
    new.persist(file).map_err(|error| error.error)?;
    Ok(())
}

fn failed(doing: &'static str, file: &Path, source: io::Error) -> Error {
    Error::File { doing, file: file.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;
    use crate::oci::Digest;

    fn pointer(name: &str, tag: &str, content: &str) -> Pointer {
        serde_json::from_value(json!({"name": name, "tag": tag, "size": 1, "token": "hush",
            "digest": Digest::sha256(content.as_bytes()), "url": "https://i.example/v2/a"}))
        .unwrap()
    }

    fn file(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join("pointers.json")
    }

    #[tokio::test]
    async fn what_is_no_list_of_pointers_is_named_without_showing_it() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "{", r#"{"pointers": [{"token": "hush hush"}]}"#, "[\"hush\"]"] {
            std::fs::write(file(&folder), text).unwrap();
            let error = Pointers::open(&file(&folder), Vec::new()).err().unwrap().to_string();
            assert!(error.contains("pointers.json") && !error.contains("hush"), "{error}");
        }
        std::fs::remove_file(file(&folder)).unwrap();
        let pointers = Pointers::open(&file(&folder), Vec::new()).unwrap();
        let many = (0..=MAX_POINTERS).map(|number| pointer("a", &number.to_string(), "x"));
        assert!(matches!(pointers.keep(many.collect()).await, Err(Error::TooMany)));
        assert!(pointers.all().is_empty() && !file(&folder).exists());
    }

    #[tokio::test]
    async fn pointers_survive_and_the_newer_one_stands() {
        let folder = tempfile::tempdir().unwrap();
        let pointers = Pointers::open(&file(&folder), Vec::new()).unwrap();
        let first = vec![pointer("a", "1", "old"), pointer("docker.io/library/a", "2", "x")];
        assert_eq!(pointers.keep(first).await.unwrap(), [true, true]);
        let mode = std::fs::metadata(file(&folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let next = vec![pointer("a", "1", "new"), pointer("a", "2", "x"), pointer("a", "2", "x")];
        assert_eq!(pointers.keep(next).await.unwrap(), [true, false, false]);
        let again = Pointers::open(&file(&folder), Vec::new()).unwrap();
        let (name, tag) = ("a".parse().unwrap(), "1".parse().unwrap());
        let found = again.at(&name, &tag).unwrap();
        assert_eq!(found, pointer("a", "1", "new"));
        assert_eq!(found.token.unwrap().reveal(), "hush");
        assert_eq!((again.of(&name).len(), again.all().len()), (2, 2));
        assert_eq!(again.at(&name, &"3".parse().unwrap()), None);
    }
}
