//! Every platform of every image to its final registry, under a temporary tag.
//!
//! Chooses sources and tags and checks the rules of `container_registry_credentials`; the moving
//! itself is `copy`'s. Promotion later needs to write manifests only. Tag forms are those of the
//! `zuul-jobs` upload roles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::client::Client;
use crate::copy::{self, Builds, Item, Options, Outcome, Progress, Source};
use crate::layout::{self, Layout};
use crate::oci::{Choice, ImageReference, Registry, Tag};
use crate::zuul::{
    self, ImageList, RegistryCredentials, Returned, TemporaryPrefix, UploadArtifact, ZuulImage,
};

/// What is uploaded from where to where.
pub struct Upload<'a> {
    /// The images.
    pub images: &'a ImageList,
    /// What holds them.
    pub from: Holder,
    /// What holds those of single repositories instead, by the job's spelling of the repository.
    pub elsewhere: BTreeMap<String, Holder>,
    /// Before which tag; none uploads the final tags themselves.
    pub prefix: Option<&'a TemporaryPrefix>,
    /// The patch set, recorded in the artifacts.
    pub patchset: Option<&'a str>,
    /// Rules on which login may be used for which repository; none are checked where absent.
    pub credentials: Option<&'a RegistryCredentials>,
}

/// What holds images.
pub enum Holder {
    /// A registry, under their speculative names.
    Registry(Registry),
    /// This image of a registry is it, whatever its tag.
    Image(ImageReference),
    /// A layout or archive: this image of it, else each by its name.
    Layout(Arc<Layout>, Option<Choice>),
}

/// What was uploaded.
#[derive(Debug, Serialize)]
pub struct Uploaded {
    /// Every image and tag, in the order of the list, and the sums.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What `zuul_return` takes.
    pub zuul: Returned<UploadArtifact>,
}

/// Why nothing or not everything was uploaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input names something that cannot be, or a login that may not be used.
    #[error(transparent)]
    Input(#[from] zuul::Error),
    /// `elsewhere` names a repository that is not in the list.
    #[error("--map names `{0}`, which is not among the images")]
    UnknownSource(String),
    /// One image cannot be that of several repositories.
    #[error(
        "--from names one image for several repositories, `{0}` among them; give each its own by --map"
    )]
    OneForAll(String),
    /// A layout or archive does not have an image.
    #[error("{item}: {source}")]
    Layout {
        /// Which image.
        item: String,
        /// What happened.
        source: layout::Error,
    },
    /// Moving failed.
    #[error(transparent)]
    Copy(#[from] copy::Error),
}

impl Upload<'_> {
    /// Moves everything. No tag is written before all content is in place.
    ///
    /// # Errors
    /// Bad input is found before the first request.
    pub async fn run(
        &self,
        client: &Client,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<Uploaded, Error> {
        let options = Options { tell_platforms: true, ..options.clone() };
        let outcome = copy::run(client, self.items().await?, &options, progress).await?;
        let uploaded = self.images.tags().zip(&outcome.images);
        let artifacts = uploaded.filter_map(|((image, tag), uploaded)| {
            let waiting = uploaded.to.tag.as_ref()?;
            let artifact =
                UploadArtifact::new(&image.repository, tag, waiting, uploaded.digest.clone());
            Some(artifact.with(&uploaded.platforms, self.patchset.map(str::to_owned)))
        });
        let zuul = Returned { artifacts: artifacts.collect() };
        Ok(Uploaded { outcome, zuul })
    }

    /// The copies to make, image by image.
    async fn items(&self) -> Result<Vec<Item>, Error> {
        let known =
            |repository: &&String| self.images.iter().any(|image| image.repository == **repository);
        if let Some(unknown) = self.elsewhere.keys().find(|repository| !known(repository)) {
            return Err(Error::UnknownSource(unknown.clone()));
        }
        for image in self.images.iter() {
            if let Some(credentials) = self.credentials {
                credentials.allow(image)?;
            }
        }
        let targets = match self.prefix {
            Some(prefix) => self.images.waiting(prefix)?,
            None => {
                let finals = self.images.tags().map(|(image, tag)| image.reference(tag.clone()));
                finals.collect::<Result<_, _>>()?
            }
        };
        let mut items = Vec::new();
        for ((image, tag), to) in self.images.tags().zip(targets) {
            items.push(Item {
                name: format!("{}:{tag}", image.repository),
                from: self.source(image, tag).await?,
                to,
                expect: image.digests.get(tag).cloned(),
                builds: Builds::default(),
            });
        }
        Ok(items)
    }

    async fn source(&self, image: &ZuulImage, tag: &Tag) -> Result<Source, Error> {
        let elsewhere = self.elsewhere.get(&image.repository);
        let is_only_repository = elsewhere.is_some() || self.is_only_repository();
        let chosen = match elsewhere.unwrap_or(&self.from) {
            Holder::Registry(registry) => {
                return Ok(Source::Registry(ImageReference {
                    registry: registry.clone(),
                    repository: image.speculative_name()?,
                    reference: tag.clone().into(),
                    tag: Some(tag.clone()),
                }));
            }
            Holder::Image(_) | Holder::Layout(_, Some(_)) if !is_only_repository => {
                return Err(Error::OneForAll(image.repository.clone()));
            }
            Holder::Image(image) => return Ok(image.clone().into()),
            Holder::Layout(layout, Some(choice)) => layout.image(Some(choice)).await,
            Holder::Layout(layout, None) => {
                layout.image_of(&image.repository, tag, is_only_repository).await
            }
        };
        let failed = |source| Error::Layout { item: format!("{}:{tag}", image.repository), source };
        chosen.map(Into::into).map_err(failed)
    }

    /// Whether only one repository's images are looked for in `from`.
    fn is_only_repository(&self) -> bool {
        let repositories = self.images.iter().map(|image| &image.repository);
        let here = repositories.filter(|repository| !self.elsewhere.contains_key(*repository));
        here.collect::<BTreeSet<_>>().len() == 1
    }
}
