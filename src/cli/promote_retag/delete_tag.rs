use clap::Args;
use serde::Serialize;

use crate::cli::args::Network;
use crate::cli::exit::Failure;
use crate::cli::output::Report;
use crate::client::Deleted;
use crate::oci::{Digest, ImageReference, Reference, Tag};
use crate::webapi::ApiUrl;

#[derive(Debug, Args)]
pub(super) struct DeleteTag {
    /// What to delete; its other tags stay
    #[arg(value_name = "REPO:TAG")]
    image: ImageReference,

    /// Only look whether it is there
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    api: Api,

    #[command(flatten)]
    network: Network,
}

/// Where a registry's web API is.
#[derive(Debug, Args)]
pub(super) struct Api {
    /// The web API of the registry, where its credentials name none with `api_url`; on the registry's own host
    #[arg(long, value_name = "URL")]
    pub(super) api_url: Option<ApiUrl>,
}

/// What became of a tag.
#[derive(Debug, Serialize)]
pub(super) struct DeletedTag {
    repository: String,
    tag: Tag,
    result: Outcome,
    /// What it holds; looked at in a dry run only.
    digest: Option<Digest>,
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Deleted,
    WouldDelete,
    Absent,
}

impl DeleteTag {
    pub(super) async fn run(self) -> Result<DeletedTag, Failure> {
        let Self { image, dry_run, .. } = self;
        let (Reference::Tag(tag), Some(_)) = (&image.reference, &image.tag) else {
            return Err(Failure::input(
                "name the tag that is to be deleted, REPO:TAG; by digest every tag of the image would go",
            ));
        };
        if let Some(credentials) = self.network.registry_credentials()? {
            credentials.allow_reference(&image)?;
        }
        let client = self.network.client(&[])?;
        let registries = [image.registry.clone()];
        let remover =
            self.network.tag_remover(&client, registries, self.api.api_url.as_ref()).await?;
        let repository = client.image(&image);
        let mut digest = None;
        let result = if dry_run {
            digest = repository.head(&image.reference).await?.map(|held| held.digest);
            digest.as_ref().map_or(Outcome::Absent, |_| Outcome::WouldDelete)
        } else {
            match remover.remove(&repository, tag).await? {
                Deleted::Done => Outcome::Deleted,
                Deleted::Absent => Outcome::Absent,
                Deleted::Unsupported => return Err(unsupported(&image, tag)),
            }
        };
        let repository = format!("{}/{}", image.registry, image.repository);
        Ok(DeletedTag { repository, tag: tag.clone(), result, digest, dry_run })
    }
}

fn unsupported(image: &ImageReference, tag: &Tag) -> Failure {
    let item = format!("{}/{}:{tag}", image.registry, image.repository);
    let message = format!(
        "{item} stays: {} deletes no tags; if it has a web API that does, name it in the credentials \
         (type, api_url, api_token)",
        image.registry
    );
    Failure::failed("unsupported", message).on(item)
}

impl Report for DeletedTag {
    fn text(&self) -> String {
        let Self { repository, tag, .. } = self;
        let what = match self.result {
            Outcome::Deleted => "is deleted",
            Outcome::WouldDelete => "would be deleted",
            Outcome::Absent => "is not there",
        };
        format!("{repository}:{tag} {what}\n")
    }
}
