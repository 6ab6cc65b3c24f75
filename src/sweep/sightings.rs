use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::looks::Clock;
use crate::oci::{Digest, Tag, printable};

/// The one format there is so far.
const FORMAT: u64 = 1;

/// Far above what all repositories of a site come to.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What earlier runs saw in registries that do not say how old a tag is: a file that only its owner reads
/// and that is replaced as a whole.
#[derive(Debug)]
pub struct Sightings {
    path: PathBuf,
    seen: BTreeMap<String, BTreeMap<Tag, Sighting>>,
}

/// Since when a tag was seen to hold what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sighting {
    pub(super) digest: Digest,
    #[serde(serialize_with = "text", deserialize_with = "moment")]
    pub(super) since: Timestamp,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It cannot be read or written.
    #[error("the state {path} cannot be used: {source}")]
    Io {
        /// Which file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// It is not what this program wrote.
    #[error(
        "the state {path} is not one of this program: {reason}; name another file, or remove it"
    )]
    Damaged {
        /// Which file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another version wrote it.
    #[error(
        "the state {path} has the format {format}, this program knows {FORMAT}; a newer one wrote it"
    )]
    Format {
        /// Which file.
        path: String,
        /// Its format.
        format: u64,
    },
}

#[derive(Serialize)]
struct Document<'a> {
    format: u64,
    seen: &'a BTreeMap<String, BTreeMap<Tag, Sighting>>,
}

#[derive(Deserialize)]
struct Format {
    format: u64,
}

#[derive(Deserialize)]
struct Seen {
    seen: BTreeMap<String, BTreeMap<Tag, Sighting>>,
}

impl Sightings {
    /// Reads the file; where there is none, nothing was seen yet.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or has a format that is not known.
    pub fn read(path: &Path) -> Result<Self, StateError> {
        let shown = || path.display().to_string();
        let mut text = String::new();
        let file =
            File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
        match file {
            Ok(size) if size as u64 > MAX_BYTES => {
                let reason = format!("it is longer than {MAX_BYTES} bytes");
                return Err(StateError::Damaged { path: shown(), reason });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path: path.to_owned(), seen: BTreeMap::new() });
            }
            Err(source) => return Err(StateError::Io { path: shown(), source }),
        }
        let damaged = |error: serde_json::Error| StateError::Damaged {
            path: shown(),
            reason: printable(&error.to_string(), 200),
        };
        let Format { format } = serde_json::from_str(&text).map_err(damaged)?;
        if format != FORMAT {
            return Err(StateError::Format { path: shown(), format });
        }
        let Seen { seen } = serde_json::from_str(&text).map_err(damaged)?;
        Ok(Self { path: path.to_owned(), seen })
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// It cannot be written; what was there before is there still.
    pub fn write(&self) -> Result<(), StateError> {
        self.replace_file()
            .map_err(|source| StateError::Io { path: self.path.display().to_string(), source })
    }

    fn replace_file(&self) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // Only its owner may read it, and write: ages are taken from it.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let mut text = serde_json::to_vec(&Document { format: FORMAT, seen: &self.seen })?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    }

    pub(super) fn get(&self, repository: &str, tag: &Tag) -> Option<&Sighting> {
        self.seen.get(repository)?.get(tag)
    }

    /// What is known of a repository from now on.
    pub(super) fn replace(&mut self, repository: String, sightings: BTreeMap<Tag, Sighting>) {
        if sightings.is_empty() {
            self.seen.remove(&repository);
        } else {
            self.seen.insert(repository, sightings);
        }
    }
}

impl Sighting {
    /// A tag that was not seen before, or held something else.
    pub(super) fn new(digest: Digest, clock: Clock) -> Self {
        Self { digest, since: clock.latest }
    }

    /// Whether the tag was seen to hold this before now. A sighting of the future counts for nothing: the
    /// clock was wrong then, or is now.
    pub(super) fn holds(&self, digest: &Digest, clock: Clock) -> bool {
        self.digest == *digest && self.since <= clock.latest
    }
}

fn text<S: Serializer>(moment: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(moment)
}

fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn state(text: &str) -> Result<Sightings, StateError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        std::fs::write(&path, text).unwrap();
        Sightings::read(&path)
    }

    #[test]
    fn a_state_that_is_not_understood_is_refused() {
        let damaged = [
            "",
            "[]",
            "{}",
            r#"{"format": 1}"#,
            r#"{"format": 1, "seen": {"q.io/a": {"not a tag": {}}}}"#,
            r#"{"format": 1, "seen": {"q.io/a": {"x": {"digest": "sha256:1", "since": "soon"}}}}"#,
        ];
        for text in damaged {
            assert!(matches!(state(text), Err(StateError::Damaged { .. })), "{text}");
        }
        let newer = state(r#"{"format": 2, "sightings": []}"#);
        assert!(matches!(newer, Err(StateError::Format { format: 2, .. })));
        assert!(matches!(Sightings::read(Path::new("/")), Err(StateError::Io { .. })));
    }

    #[test]
    fn what_was_seen_is_kept_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut sightings = Sightings::read(&path).unwrap();
        let tag: Tag = "change_1_x".parse().unwrap();
        let sighting = Sighting { digest: Digest::sha256(b""), since: Timestamp::UNIX_EPOCH };
        sightings.replace("q.io/a".to_owned(), BTreeMap::from([(tag.clone(), sighting.clone())]));
        sightings.write().unwrap();
        let again = Sightings::read(&path).unwrap();
        assert_eq!(again.get("q.io/a", &tag), Some(&sighting));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_state_that_cannot_be_written_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let sightings = Sightings::read(&folder.path().join("missing/state.json")).unwrap();
        assert!(matches!(sightings.write(), Err(StateError::Io { .. })));
    }

    #[test]
    fn a_sighting_of_the_future_counts_for_nothing() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let clock = Clock { earliest: now, latest: now };
        let at = |second| Sighting {
            digest: Digest::sha256(b""),
            since: Timestamp::from_second(second).unwrap(),
        };
        assert!(!at(1_000_001).holds(&Digest::sha256(b""), clock));
        assert!(at(1_000_000).holds(&Digest::sha256(b""), clock));
        assert!(!at(1).holds(&Digest::sha256(b"other"), clock));
    }
}
