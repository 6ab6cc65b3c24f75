use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Error;
use super::edges::{Edge, Edges, TAGLESS};
use super::manifests::Manifests;
use super::tree::Tree;

/// Leaves only edges that a commit did not have. Where a digest gets another tag in a repository, all its
/// tags there stay.
///
/// Both sides are parsed, so that it does not matter how a file is written.
pub fn only_new(edges: &mut Edges, old: &Edges) {
    let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    let repositories: HashMap<&str, u32> =
        edges.repositories().iter().enumerate().map(|(place, it)| (&**it, number(place))).collect();
    let tags: HashMap<&str, u32> =
        edges.tags().iter().enumerate().map(|(place, it)| (&**it, number(place))).collect();
    let renumbered = |edge: &Edge| {
        let repository = |number| repositories.get(old.repository(number)).copied();
        let digest = old.digest(edge.digest)?;
        Some(Edge {
            source: repository(edge.source)?,
            destination: repository(edge.destination)?,
            digest: number(edges.digests().binary_search(&digest).ok()?),
            tag: old.tag(edge.tag).map_or(Some(TAGLESS), |tag| tags.get(tag).copied())?,
        })
    };
    let before: HashSet<Edge> = old.list().iter().filter_map(renumbered).collect();
    let way = |edge: &Edge| Edge { tag: TAGLESS, ..*edge };
    let changed: HashSet<Edge> =
        edges.list().iter().filter(|edge| !before.contains(edge)).map(way).collect();
    edges.retain(|edge| changed.contains(&way(edge)));
}

impl Manifests {
    /// A thin directory as a commit has it.
    ///
    /// # Errors
    /// What git says, and files that are no text.
    pub fn thin_at(folder: &Path, revision: &str) -> Result<Self, Error> {
        let git = Git { folder, revision };
        let listed = git.run(&["ls-tree", "-r", "-z", git.revision()?], None)?;
        let mut paths = Vec::new();
        for entry in text(&git, listed)?.split('\0').filter(|entry| !entry.is_empty()) {
            let (about, path) =
                entry.split_once('\t').ok_or_else(|| git.fails("a strange list"))?;
            let [mode, "blob", object] = about.split(' ').collect::<Vec<_>>()[..] else { continue };
            let is_read = path.starts_with("images/") || path.starts_with("manifests/");
            if mode.starts_with("100") && is_read {
                paths.push((path.to_owned(), object.to_owned()));
            }
        }
        Self::of_tree(&Tree::of_texts(folder, git.contents(paths)?))
    }

    /// Plain manifests as a commit has them; those it does not have are passed over.
    ///
    /// # Errors
    /// What git says, and files that are no text.
    pub fn plain_at(paths: &[PathBuf], revision: &str) -> Result<Self, Error> {
        let mut texts = Vec::new();
        for path in paths {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let git = Git { folder: folder.unwrap_or(Path::new(".")), revision };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let listed = git.run(&["ls-tree", "-z", git.revision()?, "--", &name], None)?;
            let listed = text(&git, listed)?;
            let Some(object) = listed.split(['\t', ' ']).nth(2) else { continue };
            let blob = git.run(&["cat-file", "blob", object], None)?;
            texts.push((path.display().to_string(), text(&git, blob)?));
        }
        Ok(Self::of_plain_texts(texts))
    }
}

struct Git<'a> {
    folder: &'a Path,
    revision: &'a str,
}

impl Git<'_> {
    /// A name that git does not take for an option.
    fn revision(&self) -> Result<&str, Error> {
        match self.revision.starts_with('-') || self.revision.is_empty() {
            true => Err(self.fails("that is no commit")),
            false => Ok(self.revision),
        }
    }

    /// The texts of files by their paths.
    fn contents(&self, files: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Error> {
        let mut wanted = tempfile::tempfile().map_err(|error| self.fails(error))?;
        let objects: String = files.iter().map(|(_, object)| format!("{object}\n")).collect();
        let ready = wanted.write_all(objects.as_bytes()).and_then(|()| wanted.rewind());
        ready.map_err(|error| self.fails(error))?;
        let answer = self.run(&["cat-file", "--batch"], Some(wanted))?;
        let mut rest = answer.as_slice();
        let mut texts = BTreeMap::new();
        for (path, _) in files {
            let (content, after) = next(rest).ok_or_else(|| self.fails("a strange answer"))?;
            rest = after;
            let content = String::from_utf8(content.to_vec());
            texts.insert(path, content.map_err(|error| self.fails(error))?);
        }
        Ok(texts)
    }

    fn run(&self, arguments: &[&str], input: Option<std::fs::File>) -> Result<Vec<u8>, Error> {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.folder)
            .args(arguments)
            .stdin(input.map_or_else(Stdio::null, Stdio::from))
            .output()
            .map_err(|error| self.fails(format!("cannot start git: {error}")))?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(self.fails(String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    fn fails(&self, reason: impl ToString) -> Error {
        Error::Git { revision: self.revision.to_owned(), reason: reason.to_string() }
    }
}

/// `OBJECT blob SIZE\n<content>\n`
fn next(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = answer.iter().position(|byte| *byte == b'\n')?;
    let header = std::str::from_utf8(answer.get(..end)?).ok()?;
    let size: usize = header.rsplit(' ').next()?.parse().ok()?;
    let content = answer.get(end + 1..)?;
    Some((content.get(..size)?, content.get(size + 1..)?))
}

fn text(git: &Git<'_>, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| git.fails(error))
}
