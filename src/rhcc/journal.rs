use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::oci::{Digest, ImageReference, Manifest, Reference, Tag};

/// What a certification is about and how far it is; one JSON file, on the disk before each remote write.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    version: u32,
    /// Where it is.
    pub state: State,
    /// The product, by its name in the configuration.
    pub product: String,
    /// Its certification project.
    pub project: String,
    /// Where images are uploaded, `HOST/REPO`.
    pub upload: String,
    /// Where customers pull, `HOST/REPO`.
    pub public: String,
    /// What is certified, by its digest.
    pub source: String,
    /// The release that the tags are named after.
    pub base: String,
    /// The rebuild.
    pub number: u64,
    /// Whether it is the source with another identity.
    pub freshened: bool,
    /// Whether it is the source without its attestations.
    #[serde(default)]
    pub attestations_dropped: bool,
    /// The digest that is certified.
    pub digest: Digest,
    /// The images, one for each architecture.
    pub members: Vec<Member>,
    /// The tags that follow it, in the order in which they move.
    pub floating: Vec<Floating>,
    /// Its images in the catalog.
    pub images: Vec<String>,
    /// Where `preflight` left its results.
    pub results: Option<PathBuf>,
    #[serde(skip)]
    file: PathBuf,
    #[serde(skip)]
    lock: Option<File>,
}

/// How far it is. Each state is reached when its work is seen to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The image is pinned and its number free; it may be on its way.
    Pushing,
    /// The unique tag holds it.
    Pushed,
    /// `preflight` passed for all architectures.
    Certified,
    /// The public registry serves the unique tag.
    Visible,
    /// All floating tags hold it, and the public registry serves them.
    Moved,
    /// Nothing is left to do.
    Done,
    /// The floating tags were put back.
    RolledBack,
}

/// The image of one architecture.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// As OCI spells it.
    pub architecture: String,
    /// The image.
    pub digest: Digest,
}

/// A tag that follows the newest certified image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floating {
    /// The tag.
    pub tag: Tag,
    /// How far it is.
    pub moved: Moved,
    /// What it held before, with the bytes: registries forget what no tag holds.
    pub previous: Option<Previous>,
    /// What the public registry served before.
    pub previous_public: Option<Digest>,
}

/// How far a floating tag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moved {
    /// It was not touched.
    No,
    /// What it held is known; it may be moved.
    Moving,
    /// The public registry serves it.
    Visible,
}

/// What a tag held.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its digest.
    pub digest: Digest,
    media_type: String,
    manifest: String,
}

impl State {
    /// As it stands in the journal.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pushing => "pushing",
            Self::Pushed => "pushed",
            Self::Certified => "certified",
            Self::Visible => "visible",
            Self::Moved => "moved",
            Self::Done => "done",
            Self::RolledBack => "rolled-back",
        }
    }
}

impl Journal {
    const VERSION: u32 = 1;
    /// A journal holds some manifests.
    const MAX_BYTES: u64 = 256 * 1024 * 1024;

    /// A new one, of which nothing is on the disk yet.
    ///
    /// # Errors
    /// Another certification is described there, or another run works on the project.
    #[allow(clippy::too_many_arguments, reason = "each is a field")]
    pub fn new(
        file: &Path,
        (product, project): (&str, &str),
        (upload, public): (&ImageReference, &ImageReference),
        (pinned, made): (&super::Pinned, &super::Made<'_>),
        (base, number): (&Tag, u64),
        floating: Vec<Tag>,
    ) -> Result<Self, Error> {
        if file.exists() {
            return Err(Error::Refused(format!(
                "{} describes a certification already; go on with `resume`, or give another file",
                file.display()
            )));
        }
        let repository =
            |image: &ImageReference| format!("{}/{}", image.registry, image.repository);
        let floating = floating.into_iter().map(|tag| Floating {
            tag,
            moved: Moved::No,
            previous: None,
            previous_public: None,
        });
        let mut journal = Self {
            version: Self::VERSION,
            state: State::Pushing,
            product: product.to_owned(),
            project: project.to_owned(),
            upload: repository(upload),
            public: repository(public),
            source: pinned.source.to_string(),
            base: base.to_string(),
            number,
            freshened: made.token.is_some(),
            attestations_dropped: made.drop_attestations,
            digest: pinned.top.digest().clone(),
            members: pinned.members.clone(),
            floating: floating.collect(),
            images: Vec::new(),
            results: None,
            file: file.to_owned(),
            lock: None,
        };
        journal.lock = Some(lock(&journal.file, project)?);
        journal.unique()?;
        Ok(journal)
    }

    /// Reads one, to go on with it.
    ///
    /// # Errors
    /// It cannot be read, is something else, or another run works on the project.
    pub fn open(file: &Path) -> Result<Self, Error> {
        let mut journal = Self::look(file)?;
        journal.lock = Some(lock(file, &journal.project)?);
        // Whoever held the lock may have gone on meanwhile.
        let lock = journal.lock.take();
        Ok(Self { lock, ..Self::look(file)? })
    }

    /// Reads one beside whoever works with it.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub fn look(file: &Path) -> Result<Self, Error> {
        let wrong = |reason: &dyn std::fmt::Display| {
            Error::Input(format!("{} is no journal of a certification: {reason}", file.display()))
        };
        let size = fs::metadata(file).map_err(|error| wrong(&error))?.len();
        if size > Self::MAX_BYTES {
            return Err(wrong(&"it is too large"));
        }
        let text = fs::read(file).map_err(|error| wrong(&error))?;
        let journal: Self = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
        if journal.version != Self::VERSION {
            return Err(wrong(&format!("version {} is not known", journal.version)));
        }
        Ok(Self { file: file.to_owned(), ..journal })
    }

    /// Puts it on the disk.
    pub(super) fn save(&self) -> Result<(), Error> {
        let doing = format!("write the journal {}", self.file.display());
        let write = || {
            let folder = folder_of(&self.file);
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&mut file, self)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&self.file)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| Error::io(&doing, error))
    }

    /// Notes that a state is reached.
    pub(super) fn reach(&mut self, state: State) -> Result<(), Error> {
        self.state = self.state.max(state);
        self.save()
    }

    /// Adds images of the catalog that are not known yet.
    pub(super) fn know(&mut self, images: Vec<String>) {
        for image in images {
            if !self.images.contains(&image) {
                self.images.push(image);
            }
        }
    }

    /// After the tags were put back: what they hold now is what they held before.
    pub(super) fn begin_moves_again(&mut self) -> Result<(), Error> {
        self.floating.iter_mut().for_each(|floating| floating.moved = Moved::No);
        self.state = State::Visible;
        self.save()
    }

    /// The lock of the project, for whoever works for this run; it is held until all have let go of it.
    pub(super) fn lock(&self) -> Result<File, Error> {
        let io = |error| Error::io("share the lock of the project", error);
        match &self.lock {
            Some(lock) => lock.try_clone().map_err(io),
            None => Err(io(std::io::ErrorKind::NotFound.into())),
        }
    }

    /// Puts a new one on the disk, before anything is written anywhere.
    ///
    /// # Errors
    /// The disk says no.
    pub fn begin(&self) -> Result<(), Error> {
        self.save()
    }

    /// Where its results are kept.
    pub(super) fn folder(&self) -> &Path {
        folder_of(&self.file)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The tag that no other image ever has.
    ///
    /// # Errors
    /// The base makes no tag.
    pub fn unique(&self) -> Result<Tag, Error> {
        let tag = format!("{}-{}", self.base, self.number).parse();
        tag.map_err(|error: crate::oci::Error| Error::Input(error.to_string()))
    }

    pub(super) fn base(&self) -> Result<Tag, Error> {
        self.base.parse().map_err(|error: crate::oci::Error| Error::Input(error.to_string()))
    }

    pub(super) fn upload(&self) -> Result<ImageReference, Error> {
        image(&self.upload)
    }

    pub(super) fn public(&self) -> Result<ImageReference, Error> {
        image(&self.public)
    }
}

impl Previous {
    pub(super) fn new(manifest: &Manifest) -> Self {
        Self {
            digest: manifest.digest().clone(),
            media_type: manifest.media_type().to_owned(),
            // A manifest is UTF-8, which was checked when it was read.
            manifest: String::from_utf8_lossy(manifest.bytes()).into_owned(),
        }
    }

    /// The bytes, if they are what the digest beside them says.
    pub(super) fn manifest(&self) -> Result<Manifest, Error> {
        let wrong = |reason: String| Error::Input(format!("the journal is damaged: {reason}"));
        let bytes = Bytes::from(self.manifest.clone());
        let manifest = Manifest::parse(bytes, Some(&self.media_type));
        let manifest = manifest.map_err(|error| wrong(error.to_string()))?;
        match *manifest.digest() == self.digest {
            true => Ok(manifest),
            false => Err(wrong(format!("a manifest is {}", manifest.digest()))),
        }
    }
}

fn image(text: &str) -> Result<ImageReference, Error> {
    let image: Result<ImageReference, _> = text.parse();
    let image = image.map_err(|error| Error::Input(error.to_string()))?;
    match (&image.tag, &image.reference) {
        (None, Reference::Tag(_)) => Ok(image),
        _ => Err(Error::Input(format!("{text} is no repository"))),
    }
}

fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// One run for a project at a time, among those that keep their journals in one folder.
fn lock(journal: &Path, project: &str) -> Result<File, Error> {
    let name = format!(".rhcc-{}.lock", project.replace('/', "_"));
    let path = folder_of(journal).join(name);
    let doing = format!("lock {}", path.display());
    let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
    let file = file.map_err(|error| Error::io(&doing, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Refused(format!(
            "another run, or the preflight of one that was killed, works on the project {project} ({}); wait for its end",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(Error::io(&doing, error)),
    }
}
