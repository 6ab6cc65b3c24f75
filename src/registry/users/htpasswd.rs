use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str;
use std::time::{Duration, SystemTime};

use bcrypt::HashParts;
use serde::Deserialize;

use super::caller::{Level, Rights};
use super::rules::Pattern;

/// A file of users as Apache's `htpasswd -B` writes it, in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Htpasswd {
    /// The file; read again when it changes.
    pub file: PathBuf,
    /// What its users may do.
    pub access: Level,
    /// Where they may write; left out: everywhere.
    pub repositories: Option<Vec<Pattern>>,
}

/// The names in a file, each with its bcrypt hash.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) hashes: HashMap<String, String>,
}

/// A file and what was in it when it was last looked at.
pub(super) struct Watched {
    pub(in crate::registry) file: PathBuf,
    pub(super) rights: Rights,
    /// Nothing while the file may still be changing under this very stamp.
    seen: Option<Stamp>,
}

/// By what a changed file is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    file: u64,
    size: u64,
    modified: SystemTime,
    changed: (i64, i64),
}

/// The largest file that is read.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The work of one comparison doubles with each step; at this one it takes some seconds.
const MAX_COST: u32 = 15;

/// File systems count time in steps; a file may change twice within one.
const STEP: Duration = Duration::from_secs(2);

impl Watched {
    pub(in crate::registry) fn new(settings: &Htpasswd) -> Self {
        let rights = Rights::new(settings.access, settings.repositories.clone());
        Self { file: settings.file.clone(), rights, seen: None }
    }

    /// Reads the file unless it is known to be as it was. Blocking.
    pub(super) fn read_if_changed(&mut self) -> Result<Option<Table>, String> {
        let unreadable = |error: io::Error| format!("cannot be read: {error}");
        let stamp = Stamp::of(&self.file).map_err(unreadable)?;
        if self.seen == Some(stamp) {
            return Ok(None);
        }
        self.seen = stamp.is_settled(SystemTime::now()).then_some(stamp);
        if stamp.size > MAX_BYTES {
            return Err(format!("is larger than {MAX_BYTES} bytes"));
        }
        let bytes = std::fs::read(&self.file).map_err(unreadable)?;
        parse(&bytes).map(Some)
    }
}

impl Stamp {
    fn of(file: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(file)?;
        Ok(Self {
            device: metadata.dev(),
            file: metadata.ino(),
            size: metadata.len(),
            modified: metadata.modified()?,
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    fn is_settled(self, now: SystemTime) -> bool {
        now.duration_since(self.modified).is_ok_and(|age| age > STEP)
    }
}

/// For the fuzz targets: whether it is a file of users.
#[cfg(feature = "fuzzing")]
pub(in crate::registry) fn is_read(bytes: &[u8]) -> bool {
    parse(bytes).is_ok()
}

/// Errors name the line and the format, never a hash.
fn parse(bytes: &[u8]) -> Result<Table, String> {
    let mut table = Table::default();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let wrong = |what: &str| format!("line {number}: {what}");
        let line = str::from_utf8(line).map_err(|_| wrong("it is not UTF-8"))?.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, hash) = line.split_once(':').ok_or_else(|| wrong("it is not `name:hash`"))?;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(wrong("the name is empty, or has a control character"));
        }
        bcrypt_cost(hash).map_err(|what| wrong(&format!("user {name:?}: {what}")))?;
        if table.hashes.insert(name.to_owned(), hash.to_owned()).is_some() {
            return Err(wrong(&format!("user {name:?} is there twice")));
        }
    }
    Ok(table)
}

fn bcrypt_cost(hash: &str) -> Result<u32, String> {
    let format = match hash {
        _ if ["$2y$", "$2b$", "$2a$"].iter().any(|start| hash.starts_with(start)) => None,
        _ if hash.starts_with("$2x$") => Some("the faulty bcrypt variant $2x$"),
        _ if hash.starts_with("$apr1$") => Some("Apache's MD5 ($apr1$)"),
        _ if hash.starts_with("{SHA}") => Some("SHA-1 without salt ({SHA})"),
        _ if hash.starts_with("$1$") => Some("MD5 ($1$)"),
        _ if hash.starts_with("$5$") => Some("SHA-256 crypt ($5$)"),
        _ if hash.starts_with("$6$") => Some("SHA-512 crypt ($6$)"),
        _ if hash.starts_with("$argon2") => Some("argon2"),
        _ => Some("crypt(3) or plain text"),
    };
    if let Some(format) = format {
        return Err(format!("{format} is not accepted, only bcrypt is: `htpasswd -B` writes it"));
    }
    let parts: HashParts = hash.parse().map_err(|_| "its bcrypt hash is damaged".to_owned())?;
    match parts.get_cost() {
        cost @ 4..=MAX_COST => Ok(cost),
        cost => Err(format!("a bcrypt cost of {cost} is not accepted, 4 to {MAX_COST} are")),
    }
}

/// The cost in a hash that was read from a file.
pub(super) fn cost(hash: &str) -> u32 {
    bcrypt_cost(hash).unwrap_or(MAX_COST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuvNpsqxMfHXsOWnPKOBMD6xfCR0S6kPG";

    #[test]
    fn other_formats_are_refused_by_name_and_line() {
        for (hash, format) in [
            ("$apr1$x$9Gl", "apr1"),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
            ("$6$salt$hash", "SHA-512"),
            ("$5$salt$hash", "SHA-256"),
            ("$2x$05$abc", "$2x$"),
            ("rl.3StKT.4T8M", "crypt(3)"),
            ("hunter2", "plain"),
            ("", "plain"),
            ("$2y$05$short", "damaged"),
            (&HASH.replace("$05$", "$31$"), "cost of 31"),
            (&HASH.replace("$05$", "$03$"), "cost of 3"),
        ] {
            let error = parse(format!("a:{HASH}\n\nb:{hash}\n").as_bytes()).unwrap_err();
            assert!(error.contains("line 3") && error.contains(format), "{error}");
            assert!(error.contains("\"b\"") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn lines_that_are_no_users_are_refused() {
        for text in ["hunter2\n".as_bytes(), b":x\n", b"\xff:x\n", b"a\x07:x\n"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
        }
        let error = parse(format!("a:{HASH}\na:{HASH}").as_bytes()).unwrap_err();
        assert!(error.contains("line 2") && error.contains("twice"), "{error}");
    }

    #[test]
    fn comments_and_empty_lines_are_skipped() {
        let text = format!("# ours\r\n\n a:{HASH}\r\nb c:{}\n", HASH.replace("2y", "2b"));
        let table = parse(text.as_bytes()).unwrap();
        assert_eq!(table.hashes.len(), 2);
        assert_eq!(table.hashes.get("a").unwrap(), HASH);
        assert!(table.hashes.contains_key("b c"));
        assert_eq!(cost(HASH), 5);
    }

    #[test]
    fn a_file_that_may_still_change_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("htpasswd");
        std::fs::write(&file, format!("a:{HASH}\n")).unwrap();
        let settings = Htpasswd { file: file.clone(), access: Level::Read, repositories: None };
        let mut watched = Watched::new(&settings);
        assert!(watched.read_if_changed().unwrap().is_some());
        assert!(watched.read_if_changed().unwrap().is_some());
        let handle = std::fs::File::options().write(true).open(&file).unwrap();
        handle.set_modified(SystemTime::now() - 2 * STEP).unwrap();
        assert!(watched.read_if_changed().unwrap().is_some());
        assert!(watched.read_if_changed().unwrap().is_none());
        std::fs::remove_file(&file).unwrap();
        assert!(watched.read_if_changed().unwrap_err().contains("cannot be read"));
    }
}
