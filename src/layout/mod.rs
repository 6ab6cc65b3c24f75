//! Images in OCI layouts and archives of this host, as sources.
//!
//! An OCI image layout (image-spec, image-layout.md) as a folder or a tar archive, and what `docker save`
//! writes. Every byte that has a digest is checked against it on its way; an archive is indexed once and
//! its blobs are read where they lie, so nothing is unpacked and nothing copied. What is read may be a job's:
//! names inside lead nowhere, and sizes are limited. All reading of files is done on threads that may block.
//! What is moved where is decided in `copy`; how a place is spelt is `oci`'s.

mod archive;
mod blob;
mod docker;
mod error;
mod files;
mod gunzip;
mod headers;
mod names;
mod part;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use tokio::task::spawn_blocking;

use self::docker::{Made, Saved};
pub use self::error::Error;
use self::files::Files;
use self::names::{Listed, Wanted};
use self::part::Part;
use crate::oci::{Choice, Descriptor, Digest, Manifest, Tag, Transport, media_type, printable};

/// The bytes of a blob. The last of them come only when length and digest are right.
pub type BlobStream = BoxStream<'static, Result<bytes::Bytes, Error>>;

/// A layout or archive: where its files lie, and which images it lists.
pub struct Layout {
    files: Files,
    images: Vec<Listed<Root>>,
}

/// What stands for an image in a list.
#[derive(Debug, Clone, PartialEq)]
enum Root {
    Manifest(Descriptor),
    Saved(Saved),
}

/// One image of a layout.
#[derive(Clone)]
pub struct Image {
    layout: Arc<Layout>,
    /// `TRANSPORT:PATH:NAME`
    shown: String,
    root: Digest,
    /// What `docker save` left to be made; `None` for images of OCI layouts.
    made: Option<Arc<Made>>,
}

impl Layout {
    /// Looks which images there are, and where in an archive everything lies.
    ///
    /// # Errors
    /// What is there cannot be read, or is no such layout or archive.
    pub async fn open(transport: Transport, path: &Path) -> Result<Arc<Self>, Error> {
        let path = path.to_owned();
        blocking(move || Self::read(transport, &path)).await.map(Arc::new)
    }

    /// The image chosen, or the only one.
    ///
    /// # Errors
    /// There is no such image; or there are several, which are named.
    pub async fn image(self: &Arc<Self>, choice: Option<&Choice>) -> Result<Image, Error> {
        self.find(match choice {
            None => Wanted::Only,
            Some(Choice::Named(name)) => Wanted::Named(name),
            Some(Choice::At(position)) => Wanted::At(*position),
        })
        .await
    }

    /// The image of this repository and tag: by its whole name; else, where no other repository's image is
    /// looked for here, by its tag, or the only one.
    ///
    /// # Errors
    /// There is none; or there are several, which are named.
    pub async fn image_of(
        self: &Arc<Self>,
        repository: &str,
        tag: &Tag,
        is_only_repository: bool,
    ) -> Result<Image, Error> {
        self.find(Wanted::Image { repository, tag, is_only_repository }).await
    }

    async fn find(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Image, Error> {
        let found = names::find(&self.images, wanted);
        let (name, root) = found
            .map_err(|reason| Error::Choice { place: self.files.place().to_owned(), reason })?;
        let shown = format!("{}:{name}", self.files.place());
        let (root, made) = match root {
            Root::Manifest(root) => (root.digest.clone(), None),
            Root::Saved(saved) => {
                let (layout, saved) = (Arc::clone(self), saved.clone());
                let made = blocking(move || docker::make(&layout.files, &saved)).await?;
                (made.manifest.digest().clone(), Some(Arc::new(made)))
            }
        };
        Ok(Image { layout: Arc::clone(self), shown, root, made })
    }

    /// Blocking.
    fn read(transport: Transport, path: &Path) -> Result<Self, Error> {
        let place = format!("{}:{}", transport.as_str(), path.display());
        let files = match transport {
            Transport::Oci => Files::folder(&place, path)?,
            Transport::OciArchive | Transport::DockerArchive => Files::archive(&place, path)?,
        };
        // What docker saves since version 25 is an OCI layout, too, with the digests it was pulled by.
        let is_layout = files.has("oci-layout") && files.has("index.json");
        let images = match (is_layout, transport) {
            (true, _) => listed(&files)?,
            (false, Transport::DockerArchive) => docker::listed(&files)?
                .into_iter()
                .map(|(names, saved)| Listed { names, root: Root::Saved(saved) })
                .collect(),
            (false, _) => {
                let other = match files.has("manifest.json") {
                    true => "; it is what docker saves: write docker-archive: instead",
                    false => "; check the path",
                };
                let reason = format!("it has no `oci-layout` and `index.json`{other}");
                return Err(Error::Foreign { place, reason });
            }
        };
        Ok(Self { files, images })
    }
}

impl Image {
    /// The digest of its manifest or index.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.root
    }

    /// One of the manifests that it lists, as an image of its own.
    #[must_use]
    pub fn child(&self, digest: Digest) -> Self {
        Self {
            root: digest,
            shown: self.shown.clone(),
            layout: Arc::clone(&self.layout),
            made: None,
        }
    }

    /// Its manifest or index, or one below it. All blobs an image's manifest names are there.
    ///
    /// # Errors
    /// It is not there, or is not what its digest says, or a blob is missing.
    pub async fn manifest(&self, digest: &Digest) -> Result<Manifest, Error> {
        if let Some(made) = self.made.as_ref().filter(|made| made.manifest.digest() == digest) {
            return Ok(made.manifest.clone());
        }
        let (image, digest) = (self.clone(), digest.clone());
        blocking(move || image.read_manifest(&digest)).await
    }

    /// The bytes of a blob, checked on the way. Nothing is read before the first poll.
    #[must_use]
    pub fn blob(&self, blob: &Descriptor) -> BlobStream {
        blob::stream(self.clone(), blob.clone())
    }

    /// Blocking.
    fn read_manifest(&self, digest: &Digest) -> Result<Manifest, Error> {
        let bytes = self.layout.files.read_all(self.part(digest)?, digest.as_str())?;
        let found = Digest::of(digest.algorithm(), &bytes);
        if found != *digest {
            return Err(self.damaged(format!("the digest of {digest} is {found}")));
        }
        let manifest = Manifest::parse(bytes.into(), None).map_err(|source| Error::Manifest {
            place: format!("{digest} of {}", self.shown),
            source,
        })?;
        for blob in manifest.blobs() {
            self.sized_part(blob)?;
        }
        Ok(manifest)
    }

    /// Blocking.
    fn sized_part(&self, blob: &Descriptor) -> Result<Part, Error> {
        let part = self.part(&blob.digest)?;
        if part.size() != blob.size {
            let (digest, wrong) = (&blob.digest, part.size());
            return Err(self.damaged(format!("{digest} has {wrong} bytes, not {}", blob.size)));
        }
        Ok(part)
    }

    fn part(&self, digest: &Digest) -> Result<Part, Error> {
        let made = self.made.as_ref().and_then(|made| made.names.get(digest));
        let name = made.cloned().unwrap_or_else(|| blob_name(digest));
        self.layout.files.open(&name)?.ok_or_else(|| {
            self.damaged(format!(
                "{digest} is listed, but not there (docker saves only the platforms it has)"
            ))
        })
    }

    fn unreadable(&self, digest: &Digest, source: std::io::Error) -> Error {
        self.layout.files.unreadable(digest.as_str(), source)
    }

    fn damaged(&self, reason: String) -> Error {
        Error::Damaged { place: self.shown.clone(), reason }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} is {})", self.shown, self.root)
    }
}

/// The images of `index.json`.
fn listed(files: &Files) -> Result<Vec<Listed<Root>>, Error> {
    /// image-layout.md, "oci-layout file"
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        image_layout_version: String,
    }
    let foreign = |file: &str, reason: &dyn fmt::Display| Error::Foreign {
        place: format!("{file} of {}", files.place()),
        reason: printable(&reason.to_string(), 300),
    };
    let version: Version = serde_json::from_slice(&files.read("oci-layout")?)
        .map_err(|error| foreign("oci-layout", &error))?;
    let version = version.image_layout_version;
    if !version.starts_with("1.") {
        return Err(foreign("oci-layout", &format!("the version `{version}` is not known")));
    }
    let index = Manifest::parse(files.read("index.json")?.into(), Some(media_type::OCI_INDEX))
        .map_err(|error| foreign("index.json", &error))?;
    let images = index.children().iter().filter(|listed| listed.is_manifest());
    let images = images.map(|listed| {
        let names = names::ANNOTATIONS.iter().filter_map(|key| listed.annotations.get(*key));
        Listed { names: names.cloned().collect(), root: Root::Manifest(listed.clone()) }
    });
    Ok(images.collect())
}

/// image-layout.md, "blobs directory"
fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let ended = spawn_blocking(work).await;
    ended.unwrap_or_else(|error| {
        Err(Error::Unreadable {
            place: "a layout".to_owned(),
            source: std::io::Error::other(error),
        })
    })
}
