//! Writing the plan, and the memory of what was there before.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::ours::Versions;
use super::plan::{Edit, real};
use super::write::{self, Access, Present};
use super::{Action, Error, FileReport};

/// Private, as auth files are kept in it.
const STATE: &str = "/var/lib/zuul-images/configure-client.json";

/// Of the format of that file.
const VERSION: u32 = 2;

/// Writes what differs. The memory is written first, so a crash in between can be undone.
pub(super) fn apply(sysroot: &Path, edits: &[Edit]) -> Result<Vec<FileReport>, Error> {
    let mut state = State::load(sysroot)?;
    state.sweep(sysroot, edits)?;
    let mut due = Vec::new();
    let mut report = Vec::new();
    for edit in edits {
        let present = write::read(&real(sysroot, &edit.path))?;
        let action = match &present {
            Some(file) if file.content == edit.content => Action::Unchanged,
            Some(_) => Action::Updated,
            None => Action::Created,
        };
        if action != Action::Unchanged {
            state.remember(sysroot, edit, present.as_ref())?;
            due.push((edit, present));
        }
        report.push(FileReport { path: edit.path.clone(), action });
    }
    if due.is_empty() {
        return Ok(report);
    }
    for (edit, _) in &due {
        state.remember_directories(sysroot, &edit.path);
    }
    state.save(sysroot)?;
    for (edit, present) in due {
        let path = real(sysroot, &edit.path);
        let home = edit.home.as_ref().map(|home| real(sysroot, home));
        write::create_parents(&path, home.as_deref().map(|home| (edit.access, home)))?;
        let access = present.map_or(edit.access, |file| file.access);
        write::replace(&path, &edit.content, access)?;
    }
    Ok(report)
}

/// Puts back what was there, removes what was not, forgets.
///
/// A file that this fails for is kept and remembered; the first one is returned with its cause.
pub(super) fn undo(sysroot: &Path) -> Result<Undone, Error> {
    let mut state = State::load(sysroot)?;
    state.sweep(sysroot, &[])?;
    let (mut report, mut left, mut failed) = (Vec::new(), Vec::new(), None);
    for file in std::mem::take(&mut state.files).into_iter().rev() {
        let path = file.path.clone();
        let action = file.undo(sysroot).unwrap_or_else(|cause| {
            failed.get_or_insert((path.clone(), cause));
            left.insert(0, file);
            Action::Kept
        });
        report.push(FileReport { path, action });
    }
    // One that somebody else uses by now is not empty and stays.
    let gone = |directory: &PathBuf| fs::remove_dir(real(sysroot, directory)).is_ok();
    let directories = std::mem::take(&mut state.directories);
    let stay: BTreeSet<PathBuf> = directories.into_iter().rev().filter(|dir| !gone(dir)).collect();
    if failed.is_some() {
        State { files: left, directories: stay, ..state }.save(sysroot)?;
    } else if !report.is_empty() {
        let path = real(sysroot, Path::new(STATE));
        write::remove(&path)?;
        if let Some(directory) = path.parent() {
            let _ = fs::remove_dir(directory);
        }
    }
    Ok(Undone { files: report, failed })
}

/// What an undo did, and the first file it failed for.
pub(super) struct Undone {
    pub(super) files: Vec<FileReport>,
    pub(super) failed: Option<(PathBuf, Error)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    version: u32,
    files: Vec<Touched>,
    /// Those we made, so that undo can remove them.
    directories: BTreeSet<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Touched {
    path: PathBuf,
    before: Option<Before>,
    /// What we wrote, base64.
    written: String,
    /// The home of the user who owns it: no link below it is followed.
    home: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Before {
    /// Base64.
    content: String,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl State {
    fn load(sysroot: &Path) -> Result<Self, Error> {
        let path = real(sysroot, Path::new(STATE));
        let Some(file) = write::read(&path)? else {
            return Ok(Self { version: VERSION, ..Self::default() });
        };
        let wrong =
            |line: usize, message: String| Error::Parse { path: path.clone(), line, message };
        let state: Self = serde_json::from_slice(&file.content)
            .map_err(|error| wrong(error.line().max(1), error.to_string()))?;
        match state.version {
            VERSION => Ok(state),
            other => Err(wrong(1, format!("written by another version (format {other})"))),
        }
    }

    fn save(&self, sysroot: &Path) -> Result<(), Error> {
        let path = real(sysroot, Path::new(STATE));
        let directory = path.parent().unwrap_or(sysroot);
        fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
        let text =
            serde_json::to_vec(self).map_err(|error| Error::io("encode", &path)(error.into()))?;
        let owner = write::owner_of(directory)?;
        write::replace(&path, &text, Access { mode: 0o600, ..owner })
    }

    /// Where somebody changed a file between two of our writes, what they made of it without our
    /// entries is from now on what was there before.
    fn remember(
        &mut self,
        sysroot: &Path,
        edit: &Edit,
        present: Option<&Present>,
    ) -> Result<(), Error> {
        let written = STANDARD.encode(&edit.content);
        if let Some(known) = self.files.iter_mut().find(|file| file.path == edit.path) {
            if !known.is_ours(present) && !known.is_before(present) {
                known.before = match present {
                    Some(file) => known
                        .clean(&real(sysroot, &edit.path), file)?
                        .map(|content| Before::new(&content, file.access)),
                    None => None,
                };
            }
            known.written = written;
            return Ok(());
        }
        let before = present.map(|file| Before::new(&file.content, file.access));
        let (path, home) = (edit.path.clone(), edit.home.clone());
        self.files.push(Touched { path, before, written, home });
        Ok(())
    }

    /// Removes what killed runs left behind.
    fn sweep(&self, sysroot: &Path, edits: &[Edit]) -> Result<(), Error> {
        let known = self.files.iter().map(|file| (&file.path, &file.home));
        let files = known.chain(edits.iter().map(|edit| (&edit.path, &edit.home)));
        let mut directories = BTreeSet::from([real(sysroot, Path::new(STATE))]);
        for (path, home) in files {
            let path = real(sysroot, path);
            if let Some(home) = home
                && write::refuse_links(&path, &real(sysroot, home)).is_err()
            {
                continue;
            }
            directories.insert(path);
        }
        let directories: BTreeSet<&Path> =
            directories.iter().filter_map(|path| path.parent()).collect();
        directories.into_iter().try_for_each(write::sweep)
    }

    fn remember_directories(&mut self, sysroot: &Path, path: &Path) {
        let missing = path.ancestors().skip(1).take_while(|dir| !real(sysroot, dir).exists());
        self.directories.extend(missing.map(Path::to_owned));
    }
}

impl Touched {
    fn undo(&self, sysroot: &Path) -> Result<Action, Error> {
        let path = real(sysroot, &self.path);
        if let Some(home) = &self.home {
            write::refuse_links(&path, &real(sysroot, home))?;
        }
        let present = write::read(&path)?;
        if self.is_before(present.as_ref()) {
            return Ok(Action::Unchanged);
        }
        if !self.is_ours(present.as_ref()) {
            return present.map_or(Ok(Action::Kept), |file| self.undo_edited(&path, &file));
        }
        match &self.before {
            Some(before) => {
                write::replace(&path, &decode(&path, &before.content)?, before.access())?;
                Ok(Action::Restored)
            }
            None => {
                write::remove(&path)?;
                Ok(Action::Removed)
            }
        }
    }

    fn undo_edited(&self, path: &Path, file: &Present) -> Result<Action, Error> {
        match self.clean(path, file)? {
            Some(clean) if clean == file.content => Ok(Action::Kept),
            Some(clean) => {
                write::replace(path, &clean, file.access)?;
                Ok(Action::Cleaned)
            }
            None => {
                write::remove(path)?;
                Ok(Action::Removed)
            }
        }
    }

    /// The file without our entries; `None` if nothing is left of it.
    fn clean(&self, path: &Path, file: &Present) -> Result<Option<Vec<u8>>, Error> {
        let before =
            self.before.as_ref().map(|before| decode(path, &before.content)).transpose()?;
        let written = decode(path, &self.written)?;
        let versions =
            Versions { before: before.as_deref(), written: &written, now: &file.content };
        versions.clean(&self.path, path)
    }

    fn is_ours(&self, present: Option<&Present>) -> bool {
        present.is_some_and(|file| STANDARD.encode(&file.content) == self.written)
    }

    fn is_before(&self, present: Option<&Present>) -> bool {
        match (&self.before, present) {
            (Some(before), Some(file)) => before.content == STANDARD.encode(&file.content),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Before {
    fn new(content: &[u8], access: Access) -> Self {
        let Access { mode, uid, gid } = access;
        Self { content: STANDARD.encode(content), mode, uid, gid }
    }

    fn access(&self) -> Access {
        Access { mode: self.mode, uid: self.uid, gid: self.gid }
    }
}

fn decode(path: &Path, text: &str) -> Result<Vec<u8>, Error> {
    STANDARD.decode(text).map_err(|error| Error::Parse {
        path: path.to_owned(),
        line: 1,
        message: format!("the kept copy is damaged: {error}"),
    })
}
