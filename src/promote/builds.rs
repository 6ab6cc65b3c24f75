use crate::oci::printable;
use crate::webapi::{Build, BuildFilter, BuildQuery, Zuul};
use crate::zuul::{self, ImageArtifact, Provenance, UploadArtifact, image_artifacts};

use super::{Error, KnownImage};

/// How many builds of a branch are looked through for what stands under the final tags now.
const LOOKED_THROUGH: usize = 100;

/// What Zuul built: the newest successful build that was asked for, and others of its job and branch.
#[derive(Debug)]
pub struct Built {
    newest: Build,
    /// Newest first.
    others: Vec<Build>,
}

impl Built {
    /// Asks for the newest successful build that `query` chooses, `change=1001&pipeline=gate`; with `others`
    /// also for those that may have been promoted since.
    ///
    /// # Errors
    /// An API that cannot be asked, and [`Error::NoBuild`].
    pub async fn ask(zuul: &Zuul, query: &str, others: bool) -> Result<Self, Error> {
        let asked = BuildQuery::parse(query).by(BuildFilter::Result, "SUCCESS");
        let found = zuul.builds(&asked).await?.into_iter().find(Build::succeeded);
        let newest = found.ok_or_else(|| Error::NoBuild { query: printable(query, 400) })?;
        let others = match of_branch(&newest).filter(|_| others) {
            Some(query) => zuul.builds(&query).await?,
            None => Vec::new(),
        };
        Ok(Self { newest, others })
    }

    /// What the build uploaded under temporary tags.
    ///
    /// # Errors
    /// Artifacts that are not ours.
    pub fn uploads(&self) -> Result<Vec<UploadArtifact>, zuul::Error> {
        uploads(&self.newest)
    }

    /// What the build pushed to the intermediate registry.
    ///
    /// # Errors
    /// Artifacts that are not those of `zuul-jobs`.
    pub fn pushed(&self) -> Result<Vec<ImageArtifact>, zuul::Error> {
        image_artifacts(&self.newest.artifacts)
    }

    /// Every image of these builds that is known by its digest, those of the newest last. What other builds
    /// returned that cannot be read is nothing that is known.
    #[must_use]
    pub fn known(&self) -> Vec<KnownImage> {
        let others = self.others.iter().rev();
        others.chain([&self.newest]).flat_map(known).collect()
    }
}

/// The builds of the same job on the same branch, if it has one.
fn of_branch(build: &Build) -> Option<BuildQuery> {
    let item = &build.reference;
    let query = BuildQuery::new()
        .by(BuildFilter::Project, item.project.as_deref()?)
        .by(BuildFilter::Branch, item.branch.as_deref()?)
        .by(BuildFilter::Pipeline, build.pipeline.as_deref()?)
        .by(BuildFilter::JobName, build.job_name.as_deref()?)
        .by(BuildFilter::Result, "SUCCESS");
    Some(query.limit(LOOKED_THROUGH))
}

fn uploads(build: &Build) -> Result<Vec<UploadArtifact>, zuul::Error> {
    let mut uploads = UploadArtifact::all(&build.artifacts)?;
    for upload in &mut uploads {
        upload.built_for = provenance(build);
    }
    Ok(uploads)
}

fn known(build: &Build) -> Vec<KnownImage> {
    let uploads = uploads(build).unwrap_or_default();
    let pushed = image_artifacts(&build.artifacts).unwrap_or_default();
    let pushed = pushed.iter().filter_map(|it| KnownImage::pushed(it, provenance(build)));
    uploads.iter().map(KnownImage::from).chain(pushed).collect()
}

fn provenance(build: &Build) -> Provenance {
    let item = &build.reference;
    let label = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
    Provenance {
        project: label(&item.project),
        branch: label(&item.branch),
        change: label(&item.change),
        patchset: label(&item.patchset),
        newrev: label(&item.newrev),
        entered: build.event_timestamp,
        started: build.start_time,
        ended: build.end_time,
    }
}
