//! Every platform of every image to its final registry, under a temporary tag.
//!
//! Chooses sources and tags and checks the rules of `container_registry_credentials`; the moving
//! itself is `copy`'s. Promotion later needs to write manifests only. Tag forms are those of the
//! `zuul-jobs` upload roles.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::client::Client;
use crate::copy::{self, Builds, Item, Options, Outcome, Progress};
use crate::oci::{ImageReference, Registry, Tag};
use crate::zuul::{
    self, ImageList, RegistryCredentials, Returned, TemporaryPrefix, UploadArtifact, ZuulImage,
};

/// What is uploaded from where to where.
pub struct Upload<'a> {
    /// The images.
    pub images: &'a ImageList,
    /// The registry that holds them under their speculative names.
    pub from: &'a Registry,
    /// Sources of single repositories that are elsewhere, by the job's spelling of the repository.
    pub sources: &'a BTreeMap<String, ImageReference>,
    /// Before which tag; none uploads the final tags themselves.
    pub prefix: Option<&'a TemporaryPrefix>,
    /// The patch set, recorded in the artifacts.
    pub patchset: Option<&'a str>,
    /// Rules on which login may be used for which repository; none are checked where absent.
    pub credentials: Option<&'a RegistryCredentials>,
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
    /// `sources` names a repository that is not in the list.
    #[error("--map names `{0}`, which is not among the images")]
    UnknownSource(String),
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
        let outcome = copy::run(client, self.items()?, options, progress).await?;
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
    fn items(&self) -> Result<Vec<Item>, Error> {
        let known =
            |repository: &&String| self.images.iter().any(|image| image.repository == **repository);
        if let Some(unknown) = self.sources.keys().find(|repository| !known(repository)) {
            return Err(Error::UnknownSource(unknown.clone()));
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
            if let Some(credentials) = self.credentials {
                credentials.allow(image)?;
            }
            items.push(Item {
                name: format!("{}:{tag}", image.repository),
                from: self.source(image, tag)?.into(),
                to,
                expect: image.digests.get(tag).cloned(),
                builds: Builds::default(),
            });
        }
        Ok(items)
    }

    fn source(&self, image: &ZuulImage, tag: &Tag) -> Result<ImageReference, Error> {
        if let Some(source) = self.sources.get(&image.repository) {
            return Ok(source.clone());
        }
        Ok(ImageReference {
            registry: self.from.clone(),
            repository: image.speculative_name()?,
            reference: tag.clone().into(),
            tag: Some(tag.clone()),
        })
    }
}
