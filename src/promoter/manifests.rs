//! All manifests of a run: plain files, or a thin directory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Error;
use super::manifest::{Image, Manifest, Reader, Registries, SourceFile};
use super::problem::{At, Level, Problems};
use super::tree::{self, Tree};

pub(super) const MANIFEST: &str = "promoter-manifest.yaml";
pub(super) const IMAGES: &str = "images.yaml";

/// Manifests with all that is wrong in each of them.
#[derive(Debug, Default)]
pub struct Manifests {
    pub(super) files: Vec<SourceFile>,
    pub(super) manifests: Vec<Manifest>,
    pub(super) problems: Problems,
}

impl Manifests {
    /// Plain manifests: registries and images in one file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn plain(paths: &[PathBuf]) -> Result<Self, Error> {
        let read = |path: &PathBuf| Ok((path.display().to_string(), tree::read(path)?));
        Ok(Self::of_plain_contents(paths.iter().map(read).collect::<Result<_, Error>>()?))
    }

    pub(super) fn of_plain_contents(texts: Vec<(String, Vec<u8>)>) -> Self {
        let mut all = Self::default();
        for (path, bytes) in texts {
            let file = all.file(path, bytes);
            if let Some((registries, images)) = all.reader(file).and_then(Reader::plain) {
                all.add((file, registries), (file, images));
            }
        }
        all
    }

    /// A thin directory: `manifests/X/promoter-manifest.yaml` with its `images/X/images.yaml`.
    ///
    /// # Errors
    /// The folder cannot be read. What cannot be read in it is a problem of that file or folder.
    pub fn thin(folder: &Path) -> Result<Self, Error> {
        Ok(Self::of_tree(&Tree::on_disk(folder)?))
    }

    pub(super) fn of_tree(tree: &Tree) -> Self {
        let mut all = Self::default();
        let mut found = false;
        for folder in ["images", "manifests"] {
            if !tree.has_folder(folder) && !tree.unread().any(|(path, _)| path == folder) {
                let what =
                    if tree.has_file(folder) { "is not" } else { "is missing; it has to be" };
                all.misplaced(tree, folder, Level::Error, &format!("it {what} a folder"));
            }
        }
        for path in tree.files() {
            match project(path, "manifests", MANIFEST) {
                Some(project) => {
                    found = true;
                    all.project(tree, path, &format!("images/{project}/{IMAGES}"));
                }
                None => all.judge_file(tree, path),
            }
        }
        for path in tree.folders() {
            all.judge_folder(tree, path);
        }
        for (path, why) in tree.unread() {
            let message = format!("this folder is not read: {why}");
            all.misplaced(tree, path, Level::Error, &message);
        }
        for path in tree.astray() {
            let message =
                "this link leads out of the directory and is not followed; put here what it names";
            all.misplaced(tree, path, Level::Error, message);
        }
        if !found && tree.has_folder("manifests") {
            let message = format!("there is no manifest; they are manifests/NAME/{MANIFEST}");
            all.misplaced(tree, "manifests", Level::Error, &message);
        }
        all
    }

    /// How many manifests could be understood.
    #[must_use]
    pub fn len(&self) -> usize {
        self.manifests.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.manifests.is_empty()
    }

    /// Which account the manifests name for which registry.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, &str)> {
        let registries =
            self.manifests.iter().flat_map(|it| it.destinations.iter().chain([&it.source]));
        registries.filter_map(|it| Some((it.name.as_str(), it.account.as_deref()?)))
    }

    /// The registries that images go to.
    pub fn destinations(&self) -> impl Iterator<Item = &str> {
        self.manifests.iter().flat_map(|it| &it.destinations).map(|it| it.name.as_str())
    }

    /// Leaves out every manifest with a file that is wrong; what was wrong with them stays told. Whether there was
    /// one.
    pub(super) fn leave_bad(&mut self) -> bool {
        let bad: HashSet<&str> = self.problems.errors().map(|it| it.file.as_str()).collect();
        let is_bad =
            |file: usize| self.files.get(file).is_some_and(|it| bad.contains(it.path.as_str()));
        let before = self.manifests.len();
        self.manifests.retain(|it| !is_bad(it.file) && !is_bad(it.images_file));
        self.manifests.len() < before
    }

    /// What is wrong with them.
    #[must_use]
    pub fn problems(&self) -> &Problems {
        &self.problems
    }

    /// What is wrong with them, which is not known here any more.
    pub fn take_problems(&mut self) -> Problems {
        std::mem::take(&mut self.problems)
    }

    fn project(&mut self, tree: &Tree, manifest: &str, images: &str) {
        let registries = self.read(tree, manifest).and_then(|file| {
            let registries = self.reader(file).and_then(Reader::thin)?;
            Some((file, registries))
        });
        if !tree.has_file(images) {
            let what = match tree.has_folder(images) {
                true => "is not a regular file",
                false => "does not exist",
            };
            let message = format!("its images belong into {}, which {what}", tree.shown(images));
            self.misplaced(tree, manifest, Level::Error, &message);
            return;
        }
        let Some(images_file) = self.read(tree, images) else { return };
        let images = self.reader(images_file).map(Reader::thin_images);
        if let Some(registries) = registries {
            self.add(registries, (images_file, images.unwrap_or_default()));
        }
    }

    /// A file that is no manifest: it may have been meant as one.
    fn judge_file(&mut self, tree: &Tree, path: &str) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
        let (top, depth) = (path.split('/').next().unwrap_or_default(), path.matches('/').count());
        if !is_yaml || depth == 0 || !matches!(top, "images" | "manifests") {
            return;
        }
        let expected = if top == "images" { IMAGES } else { MANIFEST };
        let message = match project(path, "images", IMAGES) {
            Some(project) if tree.has_file(&format!("manifests/{project}/{MANIFEST}")) => return,
            Some(project) => {
                format!("nothing promotes this: there is no manifests/{project}/{MANIFEST}")
            }
            None => format!(
                "this file is not read: below {top}/ are only {top}/NAME/{expected}; move or rename it"
            ),
        };
        self.misplaced(tree, path, Level::Error, &message);
    }

    /// A project without a manifest or without images.
    fn judge_folder(&mut self, tree: &Tree, path: &str) {
        let (other, message) = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["manifests", name] => {
                (format!("manifests/{name}/{MANIFEST}"), "nothing is promoted: it has no manifest")
            }
            ["images", name] if !tree.has_file(&format!("images/{name}/{IMAGES}")) => {
                (format!("manifests/{name}/{MANIFEST}"), "no manifest belongs to this folder")
            }
            _ => return,
        };
        if !tree.has_file(&other) {
            self.misplaced(tree, path, Level::Warning, message);
        }
    }

    fn misplaced(&mut self, tree: &Tree, path: &str, level: Level, message: &str) {
        let file = SourceFile { path: tree.shown(path), text: String::new() };
        self.problems.add(file.problem(At::START, level, message));
    }

    fn read(&mut self, tree: &Tree, path: &str) -> Option<usize> {
        match tree.bytes(path) {
            Ok(bytes) => Some(self.file(tree.shown(path), bytes)),
            Err(error) => {
                let message = format!("it cannot be read: {error}");
                self.misplaced(tree, path, Level::Error, &message);
                None
            }
        }
    }

    fn file(&mut self, path: String, bytes: Vec<u8>) -> usize {
        let (text, broken) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let valid = error.as_bytes().get(..error.utf8_error().valid_up_to());
                let at = At::end_of(&String::from_utf8_lossy(valid.unwrap_or_default()));
                (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(at))
            }
        };
        let file = SourceFile { path, text };
        if let Some(at) = broken {
            self.problems.add(file.problem(at, Level::Error, "this is no UTF-8"));
        }
        self.files.push(file);
        self.files.len() - 1
    }

    fn reader(&mut self, file: usize) -> Option<Reader<'_>> {
        Some(Reader::new(self.files.get(file)?, &mut self.problems))
    }

    fn add(
        &mut self,
        (file, Registries { source, destinations }): (usize, Registries),
        (images_file, images): (usize, Vec<Image>),
    ) {
        self.manifests.push(Manifest { file, images_file, source, destinations, images });
    }
}

/// `NAME` of `TOP/NAME/FILE`.
fn project<'p>(path: &'p str, top: &str, file: &str) -> Option<&'p str> {
    let name = path.strip_prefix(top)?.strip_prefix('/')?.strip_suffix(file)?.strip_suffix('/')?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}
