use std::path::PathBuf;

use clap::Args;

use super::Rules;
use crate::cli::args::{Item, Network};
use crate::cli::exit::Failure;
use crate::promote::{self, FinalTag, Options, Promoted, Promotion};
use crate::zuul::{self, ImageList, UploadArtifact};

#[derive(Debug, Args)]
pub(super) struct Promote {
    /// The `container_images` or `docker_images` list (YAML or JSON; `-` reads stdin)
    #[arg(long, value_name = "IMAGES")]
    images: PathBuf,

    #[command(flatten)]
    item: Item,

    /// The artifacts the upload returned: each image must still be the digest it recorded
    #[arg(long, value_name = "ARTIFACTS")]
    uploads: Option<PathBuf>,

    /// Leave the temporary tags in place
    #[arg(long)]
    keep_temporary_tags: bool,

    #[command(flatten)]
    rules: Rules,

    #[command(flatten)]
    network: Network,
}

impl Promote {
    pub(super) async fn run(self) -> Result<Promoted, Failure> {
        let images = ImageList::read(&self.images)?;
        let credentials = self.network.registry_credentials()?;
        let uploads = match &self.uploads {
            Some(file) => Some(UploadArtifact::all(&zuul::read_artifacts(file)?)?),
            None => None,
        };
        let waiting = images.waiting(&self.item.prefix()?)?;
        let mut promotions = Vec::new();
        let mut unknown = Vec::new();
        for ((image, tag), from) in images.tags().zip(waiting) {
            if let Some(credentials) = &credentials {
                credentials.allow(image)?;
            }
            // Of several uploads of one image the newest stands last.
            let uploaded = uploads
                .iter()
                .flatten()
                .rev()
                .map(|upload| &upload.metadata)
                .find(|upload| upload.repository == image.repository && upload.tag == *tag);
            if uploads.is_some() && uploaded.is_none() {
                unknown.push(format!("{}:{tag}: no upload of it is recorded", image.repository));
            }
            promotions.push(Promotion {
                repository: image.repository.clone(),
                to: FinalTag::beside(&from, tag.clone()),
                from,
                expected: uploaded.map(|upload| upload.digest.clone()),
                current: None,
            });
        }
        if !unknown.is_empty() {
            return Err(promote::Error::Refused(unknown).into());
        }
        let options = Options {
            keep_temporary_tags: self.keep_temporary_tags,
            ..self.rules.options(&self.network, credentials.as_ref())?
        };
        let client = self.network.client(&[])?;
        Ok(promote::promote(&client, &promotions, &options).await?)
    }
}
