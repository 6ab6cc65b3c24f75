//! The command line of `publish-image-index`.

mod inputs;
mod notify;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use self::inputs::{Inputs, Read};
use self::notify::Notify;
use super::args::{Common, Network};
use super::exit::Failure;
use super::progress::Bars;
use crate::index::{
    Architecture, MetadataFile, OnMissing, Publication, Published, Record, Rules, publish,
};
use crate::oci::{ImageReference, Reference, Tag};

/// Publish one index over the images of several architectures, under every tag, in every repository
///
/// The index is composed here, the same bytes from the same images, and pushed after all its images. A tag is
/// refused that would lose an architecture it has now, or go back behind a newer build; the others are
/// written. A tag that holds the index already is left as it is.
#[derive(Debug, Parser)]
#[command(name = "publish-image-index", version, after_help = EXAMPLES)]
struct Arguments {
    /// Where the index goes, HOST[:PORT]/REPO; may be given several times
    #[arg(long, value_name = "REPO", required = true, value_parser = repository)]
    repository: Vec<ImageReference>,

    /// Its tags; may be given several times
    #[arg(long, value_name = "TAG", required = true)]
    tag: Vec<Tag>,

    #[command(flatten)]
    inputs: Inputs,

    /// An annotation of the index; OCI images only
    #[arg(long, value_name = "NAME=VALUE", value_parser = annotation)]
    annotation: Vec<(String, String)>,

    /// What to do when a tag has an architecture that this build lacks: leave the tag, keep the image the tag
    /// has for it, or lose it
    #[arg(long, value_enum, default_value = "refuse", value_name = "WHAT")]
    on_missing: Missing,

    /// An architecture that a tag may lose; may be given several times
    #[arg(long, value_name = "ARCH")]
    allow_drop: Vec<Architecture>,

    /// Write tags that hold the index already, too
    #[arg(long)]
    force: bool,

    /// Allow a tag to go back to an older build
    #[arg(long)]
    move_back: bool,

    /// Tag every image as TAG-ARCH, too, whatever becomes of the index
    #[arg(long)]
    architecture_tags: bool,

    /// Publish all images in docker's format (image manifest v2.2), whatever they are: other digests over the
    /// same blobs
    #[arg(long)]
    v2s2: bool,

    /// Write the digest of what was published here, also if nothing had to be done
    #[arg(long, value_name = "FILE")]
    digest_file: Option<PathBuf>,

    /// Record in this JSON file what was published where; with ARCH= its `digest` is that of ARCH's image
    #[arg(long, value_name = "[ARCH=]FILE", value_parser = metadata_file)]
    meta: Vec<MetadataFile>,

    /// The key of the record
    #[arg(long, value_name = "KEY", default_value = "container-image", value_parser = meta_key)]
    meta_key: String,

    #[command(flatten)]
    notify: Notify,

    /// Look at everything and say what would be written, but write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    network: Network,

    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  publish-image-index --repository quay.io/org/img --tag 40 --tag latest \\
      --image x86_64=oci-archive:img-x86_64.tar --image aarch64=oci-archive:img-aarch64.tar
  publish-image-index --repository quay.io/org/img --repository registry.example.org/img --tag 40 \\
      --architecture-tags --image amd64=quay.io/build/img:1-amd64 --image arm64=quay.io/build/img:1-arm64
  publish-image-index --repository quay.io/org/os --tag 40.1 --tag stable --tree . --artifact ostree \\
      --meta-key base-oscontainer --digest-file digest

Exit codes: 0 done, 1 failed, 2 wrong input, 3 a tag was refused by a safety rule (the others were written).";

/// The value of `--on-missing`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Missing {
    Refuse,
    Hybrid,
    Drop,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    super::run(&arguments.common.clone(), arguments.run())
}

impl Arguments {
    async fn run(self) -> Result<Published, Failure> {
        if let Some(credentials) = self.network.registry_credentials()? {
            self.repository.iter().try_for_each(|it| credentials.allow_reference(it))?;
        }
        let Read { images, mut metadata, build } = self.inputs.read().await?;
        metadata.extend(self.meta);
        let publication = Publication {
            images,
            repositories: self.repository,
            tags: self.tag,
            annotations: self.annotation.into_iter().collect(),
            rules: Rules {
                on_missing: self.on_missing.into(),
                allow_drop: self.allow_drop,
                force: self.force,
                move_back: self.move_back,
                architecture_tags: self.architecture_tags,
                v2s2: self.v2s2,
            },
        };
        let client = self.network.client(&[])?;
        let options = crate::copy::Options { dry_run: self.dry_run, ..self.network.copying() };
        let bars = Bars::new(self.common.quiet);
        let published = publish(&client, &publication, &options, &bars).await?;
        drop(bars);
        if self.dry_run {
            return Ok(published);
        }
        if let (Some(file), Some(digest)) = (&self.digest_file, published.published_digest()) {
            std::fs::write(file, format!("{digest}\n"))
                .map_err(|error| Failure::io(&format!("write {}", file.display()), &error))?;
        }
        let record = Record { key: &self.meta_key, published: &published };
        metadata.iter().try_for_each(|file| file.write(&record))?;
        self.notify.tell(&publication.repositories, &published, build.as_deref()).await?;
        Ok(published)
    }
}

impl From<Missing> for OnMissing {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Refuse => Self::Refuse,
            Missing::Hybrid => Self::Hybrid,
            Missing::Drop => Self::Drop,
        }
    }
}

fn repository(value: &str) -> Result<ImageReference, String> {
    let image: ImageReference =
        value.parse().map_err(|error: crate::oci::Error| error.to_string())?;
    match (&image.tag, &image.reference) {
        (None, Reference::Tag(_)) => Ok(image),
        _ => Err("give the tags with --tag, not behind the repository".to_owned()),
    }
}

fn annotation(value: &str) -> Result<(String, String), String> {
    match value.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn meta_key(value: &str) -> Result<String, &'static str> {
    match Record::is_key(value) {
        true => Ok(value.to_owned()),
        false => Err("other records stand there"),
    }
}

fn metadata_file(value: &str) -> Result<MetadataFile, String> {
    Ok(match value.split_once('=') {
        None => MetadataFile { path: value.into(), architecture: None },
        Some((architecture, path)) => {
            let architecture: Architecture =
                architecture.parse().map_err(|error: crate::index::Error| error.to_string())?;
            MetadataFile { path: path.into(), architecture: Some(architecture) }
        }
    })
}
