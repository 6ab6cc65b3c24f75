use std::fs;
use std::path::Path;

use super::FORMAT;
use super::files::{self, Files, Unsynced, failed, is_absent};
use super::layout::{self, Layout};
use crate::oci::{Digest, RepositoryName};
use crate::storage::Error;

/// What stands in the file `format` while a store of format 1 is being changed. Older programs refuse
/// it, this one goes on.
const UNFINISHED: &str = "1 to 2";

/// The number of the layout. `None` for a new store, 1 also for one on its way to 2.
///
/// # Errors
/// Another program wrote it, most likely a newer one.
pub(super) fn format(layout: &Layout) -> Result<Option<u32>, Error> {
    let Some(found) = files::read(&layout.format())? else {
        return Ok(None);
    };
    let found = String::from_utf8_lossy(&found).trim().to_owned();
    match found.as_str() {
        "1" | UNFINISHED => Ok(Some(1)),
        _ if found.parse() == Ok(FORMAT) => Ok(Some(FORMAT)),
        _ => Err(Error::UnknownFormat {
            folder: layout.root().display().to_string(),
            found: found.chars().take(20).collect(),
            known: FORMAT,
        }),
    }
}

/// Brings a store into today's layout. Interrupted at any moment, it is done again.
pub(super) fn migrate(layout: &Layout, files: &Files, found: Option<u32>) -> Result<(), Error> {
    if found == Some(1) {
        tracing::info!(from = 1, to = FORMAT, "changing the layout of the store");
        files.write(&layout.format(), &[UNFINISHED.as_bytes(), b"\n"])?;
        from_1(layout, files)?;
    }
    files.write(&layout.format(), &[format!("{FORMAT}\n").as_bytes()])
}

/// In format 1 content was `blobs/ALGORITHM/HE/HEX`, a link `repositories/NAME/_blobs/ALGORITHM/HEX`
/// with the size in it, and a repository's other folders `repositories/NAME/_manifests` and so on.
fn from_1(layout: &Layout, files: &Files) -> Result<(), Error> {
    let top = layout.root().join("repositories");
    let mut unsynced = Unsynced::default();
    for repository in repositories_of_1(&top)? {
        let folder = top.join(repository.as_str());
        for (name, content) in digests_in(&folder.join("_blobs"))? {
            link(layout, files, &repository, &content, &name, &mut unsynced)?;
        }
        for part in ["manifests", "referrers", "tags"] {
            let from = folder.join(format!("_{part}"));
            if from.is_dir() {
                let to = layout.image(&repository).join(part);
                files.rename(&from, &to, &mut unsynced)?;
            }
        }
    }
    files.settle(unsynced)?;
    // Content without a link has been of no use since nobody could read it.
    files.remove_all(&old_blobs(layout))?;
    files.remove_all(&top)
}

fn link(
    layout: &Layout,
    files: &Files,
    repository: &RepositoryName,
    digest: &Digest,
    old: &Path,
    unsynced: &mut Unsynced,
) -> Result<(), Error> {
    let mut content = old_blobs(layout);
    content.push(digest.algorithm().as_str());
    content.push(digest.hex().get(..2).unwrap_or_default());
    content.push(digest.hex());
    let data = layout.data(digest);
    let text = files::read(old)?.unwrap_or_default();
    let written = String::from_utf8_lossy(&text).trim().parse::<u64>().ok();
    // A link that is damaged says no size: that of the content is looked at by `verify` anyway.
    let length = |file: &Path| file.metadata().ok().map(|file| file.len());
    let Some(size) = written.or_else(|| length(&content)).or_else(|| length(&data)) else {
        tracing::warn!(link = %old.display(), "a damaged link without content was left out");
        return Ok(());
    };
    let link = files.drafts.link(&size.to_string())?;
    files.place(link, &layout.link(repository, digest), unsynced)?;
    if content.is_file() {
        files.rename(&content, &data, unsynced)?;
    }
    Ok(())
}

fn old_blobs(layout: &Layout) -> std::path::PathBuf {
    layout.root().join("blobs")
}

fn digests_in(folder: &Path) -> Result<Vec<(std::path::PathBuf, Digest)>, Error> {
    let mut found = Vec::new();
    for algorithm in files::names(folder)?.unwrap_or_default() {
        let folder = folder.join(&algorithm);
        for hex in files::names(&folder)?.unwrap_or_default() {
            let digest = layout::digest(&format!("{algorithm}-{hex}"));
            found.extend(digest.map(|digest| (folder.join(hex), digest)));
        }
    }
    Ok(found)
}

fn repositories_of_1(top: &Path) -> Result<Vec<RepositoryName>, Error> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(top.join(&folder)) {
            Err(error) if is_absent(&error) => continue,
            entries => entries.map_err(|e| failed("list", top, e))?,
        };
        let mut used = false;
        for entry in entries {
            let name = entry.map_err(|e| failed("list", top, e))?.file_name();
            let name = name.to_string_lossy();
            match (name.starts_with('_'), folder.is_empty()) {
                (true, _) => used = true,
                (false, true) => folders.push(name.into_owned()),
                (false, false) => folders.push(format!("{folder}/{name}")),
            }
        }
        found.extend(folder.parse::<RepositoryName>().ok().filter(|_| used));
    }
    Ok(found)
}
