use super::{Error, Moved};
use crate::client::Client;
use crate::copy::{self, Builds, Item, Options, Progress, Source};
use crate::oci::{self, ImageReference, Registry};
use crate::zuul::{
    BuildId, ImageArtifact, ImageList, Label, Origin, Returned, path_below_registry,
};

/// The build that pushes.
#[derive(Debug, Clone)]
pub struct Build {
    /// zuul.build
    pub id: BuildId,
    /// zuul.tenant
    pub tenant: Option<Label>,
    /// zuul.project.name
    pub project: Option<Label>,
    /// zuul.change
    pub change: Option<Label>,
}

impl Build {
    fn origin(&self) -> Origin {
        Origin {
            tenant: self.tenant.clone(),
            project: self.project.clone(),
            change: self.change.clone(),
            build: self.id.label(),
        }
    }
}

/// Copies every tag of `images` from the buildset registry `from` to the intermediate registry `to`
/// as `<repository>:<build>_<tag>`, and returns the artifacts that tell dependent changes. Our own
/// intermediate registry keeps with each tag which build it is from.
///
/// # Errors
/// Nothing is tagged at `to` unless every image arrived whole.
pub async fn push(
    client: &Client,
    images: &ImageList,
    from: &Registry,
    to: &Registry,
    build: &Build,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Moved, Error> {
    let origin = build.origin();
    let mut items = Vec::new();
    for (image, tag) in images.tags() {
        items.push(Item {
            name: format!("{}:{tag}", image.repository),
            from: Source::Registry(ImageReference {
                registry: from.clone(),
                repository: image.speculative_name()?,
                reference: tag.clone().into(),
                tag: Some(tag.clone()),
            }),
            to: ImageReference {
                registry: to.clone(),
                repository: path_below_registry(&image.repository)?,
                reference: oci::Reference::Tag(format!("{}_{tag}", build.id).parse()?),
                tag: None,
            },
            expect: image.digests.get(tag).cloned(),
            builds: Builds { origin: Some(origin.clone()), ..Builds::default() },
        });
    }
    let outcome = copy::run(client, items, options, progress).await?;
    let artifacts = images.tags().zip(&outcome.images).map(|((image, tag), moved)| {
        let url = format!("docker://{}", moved.to);
        ImageArtifact::new(&image.repository, tag, url, moved.digest.clone())
    });
    let zuul = Returned { artifacts: artifacts.collect() };
    Ok(Moved { outcome, zuul })
}
