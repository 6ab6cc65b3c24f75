//! The command line of `promote-retag`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use super::args::{Common, Item, Network};
use super::exit::Failure;
use super::output::{Report, table};
use crate::oci::{Digest, ImageReference, Tag};
use crate::promote::{self, Cleanup, Current, Options, Promoted, Promotion, Removed};
use crate::zuul::{self, ImageList, UploadArtifact};

/// Give uploaded images their final tags by writing manifests only
///
/// Every image of the list is verified before the first tag is written; if a write fails, the tags
/// written before are put back. No layer is moved.
#[derive(Debug, Parser)]
#[command(name = "promote-retag", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  promote-retag promote --images images.yaml --change 1001 --credentials login.yaml
  promote-retag promote --images images.yaml --pipeline periodic --dry-run
  promote-retag retag quay.io/org/img:change_1001_latest latest stable --expect-current absent

Exit codes: 0 done, 1 failed, 2 wrong input, 3 refused by a safety rule (nothing was written).";

#[derive(Debug, Subcommand)]
enum Command {
    /// Temporary tags of a whole image list to their final tags, all or nothing
    Promote(Promote),
    /// One image to further tags of its repository
    Retag(Retag),
}

#[derive(Debug, Args)]
struct Promote {
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

#[derive(Debug, Args)]
struct Retag {
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

#[derive(Debug, Args)]
struct Rules {
    /// Verify everything and say what would be written, but write nothing
    #[arg(long)]
    dry_run: bool,

    /// Allow an index that lacks a platform of the one it replaces
    #[arg(long)]
    allow_lost_platforms: bool,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { common, command } = Arguments::parse();
    super::run(&common, async {
        match command {
            Command::Promote(arguments) => arguments.run().await,
            Command::Retag(arguments) => arguments.run().await,
        }
    })
}

impl Promote {
    async fn run(self) -> Result<Promoted, Failure> {
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
                from,
                to: tag.clone(),
                expected: uploaded.map(|upload| upload.digest.clone()),
                current: None,
            });
        }
        if !unknown.is_empty() {
            return Err(promote::Error::Refused(unknown).into());
        }
        let options =
            Options { keep_temporary_tags: self.keep_temporary_tags, ..self.rules.options() };
        let client = self.network.client(&[])?;
        Ok(promote::promote(&client, &promotions, options).await?)
    }
}

impl Retag {
    async fn run(self) -> Result<Promoted, Failure> {
        if let Some(credentials) = self.network.registry_credentials()? {
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
                to,
                expected: self.expect_digest.clone(),
                current: self.expect_current.clone(),
            })
            .collect();
        let options = Options { keep_temporary_tags: true, ..self.rules.options() };
        let client = self.network.client(&[])?;
        Ok(promote::promote(&client, &promotions, options).await?)
    }
}

impl Rules {
    fn options(&self) -> Options {
        Options {
            dry_run: self.dry_run,
            allow_lost_platforms: self.allow_lost_platforms,
            keep_temporary_tags: false,
        }
    }
}

fn current(value: &str) -> Result<Current, crate::oci::Error> {
    if value == "absent" { Ok(Current::Absent) } else { value.parse().map(Current::Digest) }
}

impl Report for Promoted {
    fn text(&self) -> String {
        let rows: Vec<[String; 4]> = self
            .promoted
            .iter()
            .map(|tag| {
                let previous = tag.previous.as_ref().map_or("nothing", Digest::short);
                let state = match (tag.changed, self.dry_run) {
                    (false, _) => "already there".to_owned(),
                    (true, false) => format!("was {previous}"),
                    (true, true) => format!("would replace {previous}"),
                };
                let name = format!("{}:{}", tag.repository, tag.tag);
                [name, tag.temporary_tag.clone(), tag.digest.short().to_owned(), state]
            })
            .collect();
        let mut text = table(["TAG", "FROM", "DIGEST", "BEFORE"], &rows);
        for cleanup in self.cleanup.iter().filter(|cleanup| cleanup.result != Removed::Done) {
            let Cleanup { repository, tag, result } = cleanup;
            let why = match result {
                Removed::Done => continue,
                Removed::Absent => "is gone already, or newer".to_owned(),
                Removed::Unsupported => "stays: the registry deletes no tags".to_owned(),
                Removed::Failed(error) => format!("stays: {error}"),
            };
            text.push_str(&format!("temporary tag {repository}:{tag} {why}\n"));
        }
        let totals = &self.totals;
        text.push_str(&format!(
            "{} manifests written, {} requests, {:.2} s\n",
            totals.manifests_written, totals.requests, totals.seconds
        ));
        text
    }
}
