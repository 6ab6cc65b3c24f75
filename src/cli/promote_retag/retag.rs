use std::collections::BTreeSet;

use clap::Args;

use super::Rules;
use crate::cli::args::Network;
use crate::cli::exit::Failure;
use crate::oci::{self, Digest, ImageReference, Tag};
use crate::promote::{self, Current, FinalTag, Options, Promoted, Promotion};

#[derive(Debug, Args)]
pub(super) struct Retag {
    /// What to retag
    #[arg(value_name = "REPO:TAG")]
    image: ImageReference,

    /// The tags to write
    #[arg(value_name = "NEW_TAG", required = true)]
    tags: Vec<Tag>,

    /// Refuse unless the image is this digest
    #[arg(long, value_name = "DIGEST")]
    expect_digest: Option<Digest>,

    /// Refuse unless every new tag holds this now: a digest, or `absent`
    #[arg(long, value_name = "DIGEST|absent", value_parser = current)]
    expect_current: Option<Current>,

    #[command(flatten)]
    rules: Rules,

    #[command(flatten)]
    network: Network,
}

impl Retag {
    pub(super) async fn run(self) -> Result<Promoted, Failure> {
        let credentials = self.network.registry_credentials()?;
        if let Some(credentials) = &credentials {
            credentials.allow_reference(&self.image)?;
        }
        let tags: BTreeSet<&Tag> = self.tags.iter().collect();
        if tags.len() < self.tags.len() {
            return Err(Failure::input("a NEW_TAG is named twice"));
        }
        let repository = format!("{}/{}", self.image.registry, self.image.repository);
        let promotions: Vec<Promotion> = self
            .tags
            .into_iter()
            .map(|to| Promotion {
                repository: repository.clone(),
                from: self.image.clone(),
                to: FinalTag::beside(&self.image, to),
                expected: self.expect_digest.clone(),
                current: self.expect_current.clone(),
            })
            .collect();
        let options = self.rules.options(&self.network, credentials.as_ref())?;
        let options = Options { keep_temporary_tags: true, ..options };
        let client = self.network.client(&[])?;
        Ok(promote::promote(&client, &promotions, &options).await?)
    }
}

fn current(value: &str) -> Result<Current, oci::Error> {
    if value == "absent" { Ok(Current::Absent) } else { value.parse().map(Current::Digest) }
}
