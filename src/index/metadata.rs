use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Architecture, Error, Published};

/// A JSON file that says what was published where, as coreos-assembler's `meta.json` does.
#[derive(Debug, Clone)]
pub struct MetadataFile {
    /// Where.
    pub path: PathBuf,
    /// Whose image it is about; all of the index where there is none.
    pub architecture: Option<Architecture>,
}

/// What is written into each.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// The key it stands under.
    pub key: &'a str,
    /// What was published.
    pub published: &'a Published,
}

/// Where the records beside the first one stand.
pub(super) const MORE: &str = "additional-images";

impl Record<'_> {
    /// Whether a record can stand under this key.
    #[must_use]
    pub fn is_key(key: &str) -> bool {
        !key.is_empty() && key != MORE
    }
}

impl MetadataFile {
    /// Writes one record for each repository that holds what was published: the first one under the key, others
    /// among `additional-images`. One that is there already is replaced, so a rerun adds nothing.
    ///
    /// # Errors
    /// The file cannot be read or written, or is no JSON object.
    pub fn write(&self, record: &Record<'_>) -> Result<(), Error> {
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => "{}".to_owned(),
            read => read.map_err(|error| self.wrong(&error))?,
        };
        let mut document: Value =
            serde_json::from_str(&text).map_err(|error| self.wrong(&error))?;
        let before = document.clone();
        let object = document.as_object_mut().ok_or_else(|| self.wrong(&"it is no object"))?;
        for entry in record.entries(self.architecture.as_ref()) {
            place(object, record.key, entry);
        }
        if document == before && text != "{}" {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&document).map_err(|error| self.wrong(&error))?;
        replace(&self.path, &(text + "\n"))
            .map_err(|source| Error::Write { file: self.shown(), source })
    }

    fn wrong(&self, reason: &dyn std::fmt::Display) -> Error {
        Error::Tree { file: self.shown(), reason: reason.to_string() }
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }
}

impl Record<'_> {
    fn entries(&self, architecture: Option<&Architecture>) -> Vec<Value> {
        let good = || self.published.targets.iter().filter(|target| target.is_good());
        let mut repositories: Vec<&str> = Vec::new();
        for target in good() {
            if !repositories.contains(&target.repository.as_str()) {
                repositories.push(&target.repository);
            }
        }
        let member = architecture.and_then(|architecture| {
            let mut members = self.published.members.iter();
            members.find(|member| member.platform == *architecture.platform())
        });
        let entry = |repository: &str| {
            let tags: Vec<_> = good().filter(|target| target.repository == repository).collect();
            let list = tags.first().and_then(|target| target.digest.as_ref());
            json!({
                "image": repository,
                "digest": member.map(|member| &member.digest).or(list),
                "manifest-list-digest": list,
                "tags": tags.iter().map(|target| &target.tag).collect::<Vec<_>>(),
            })
        };
        repositories.into_iter().map(entry).collect()
    }
}

/// Puts a record where that of its repository is, or behind the others.
pub(super) fn place(object: &mut Map<String, Value>, key: &str, entry: Value) {
    let image = entry.get("image").cloned();
    let is_it = |value: &Value| value.get("image") == image.as_ref();
    match object.get_mut(key) {
        None => {
            object.insert(key.to_owned(), entry);
            return;
        }
        Some(first) if is_it(first) => {
            *first = entry;
            return;
        }
        Some(_) => {}
    }
    let more = object.entry(MORE).or_insert_with(|| Value::Array(Vec::new()));
    match more {
        Value::Array(more) => match more.iter_mut().find(|value| is_it(value)) {
            Some(there) => *there = entry,
            None => more.push(entry),
        },
        other => *other = Value::Array(vec![entry]),
    }
}

/// Writes a file so that it is whole, old or new, whenever it is looked at.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mode = fs::metadata(path).map_or(0o644, |metadata| metadata.permissions().mode() & 0o7777);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    fs::File::open(folder)?.sync_all()
}
