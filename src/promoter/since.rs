use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Error;
use super::edges::{Edge, Edges, TAGLESS};
use super::manifests::{IMAGES, MANIFEST, Manifests};
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
    /// What git says.
    pub fn thin_at(folder: &Path, revision: &str) -> Result<Self, Error> {
        let git = Git { folder, revision };
        let listed =
            git.run(&["ls-tree", "-r", "-z", git.revision()?, "--", "images", "manifests"], None)?;
        let (mut contents, mut wanted) = (BTreeMap::new(), Vec::new());
        for entry in listed.split(|byte| *byte == 0).filter(|it| !it.is_empty()) {
            // What has a name that is no UTF-8 is not read from the disk, either.
            let Ok(entry) = std::str::from_utf8(entry) else { continue };
            let (about, path) =
                entry.split_once('\t').ok_or_else(|| git.fails("a strange list"))?;
            let [mode, "blob", object] = about.split(' ').collect::<Vec<_>>()[..] else { continue };
            // Others need only be there.
            let is_read = path.ends_with(IMAGES) || path.ends_with(MANIFEST);
            match mode.starts_with("100") {
                true if is_read => wanted.push((path.to_owned(), object.to_owned())),
                true => drop(contents.insert(path.to_owned(), Vec::new())),
                false => {}
            }
        }
        contents.append(&mut git.contents(wanted)?);
        Ok(Self::of_tree(&Tree::of_contents(folder, contents)))
    }

    /// Plain manifests as a commit has them; those it does not have are passed over.
    ///
    /// # Errors
    /// What git says.
    pub fn plain_at(paths: &[PathBuf], revision: &str) -> Result<Self, Error> {
        let mut contents = Vec::new();
        for path in paths {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let git = Git { folder: folder.unwrap_or(Path::new(".")), revision };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let listed = git.run(&["ls-tree", "-z", git.revision()?, "--", &name], None)?;
            let listed = String::from_utf8_lossy(&listed).into_owned();
            let Some(object) = listed.split(['\t', ' ']).nth(2) else { continue };
            let blob = git.run(&["cat-file", "blob", object], None)?;
            contents.push((path.display().to_string(), blob));
        }
        Ok(Self::of_plain_contents(contents))
    }
}

/// What git sets for the hooks it calls (githooks(5)).
const HOOKS_VARIABLES: [&str; 5] =
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"];

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

    /// What files hold, by their paths.
    fn contents(&self, files: Vec<(String, String)>) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let mut wanted = tempfile::tempfile().map_err(|error| self.fails(error))?;
        let objects: String = files.iter().map(|(_, object)| format!("{object}\n")).collect();
        let ready = wanted.write_all(objects.as_bytes()).and_then(|()| wanted.rewind());
        ready.map_err(|error| self.fails(error))?;
        let answer = self.run(&["cat-file", "--batch"], Some(wanted))?;
        let mut rest = answer.as_slice();
        let mut contents = BTreeMap::new();
        for (path, object) in files {
            let missing =
                || self.fails(format!("{path} cannot be read: it has no object {object}"));
            let (content, after) = next(rest).ok_or_else(missing)?;
            rest = after;
            contents.insert(path, content.to_vec());
        }
        Ok(contents)
    }

    fn run(&self, arguments: &[&str], input: Option<std::fs::File>) -> Result<Vec<u8>, Error> {
        let mut git = Command::new("git");
        // A hook's variables name another folder's repository.
        for name in HOOKS_VARIABLES {
            git.env_remove(name);
        }
        let output = git
            .arg("-C")
            .arg(self.folder)
            .args(arguments)
            // The repository's configuration is not ours: of a partial clone it names a program that fetches what is
            // missing.
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
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
