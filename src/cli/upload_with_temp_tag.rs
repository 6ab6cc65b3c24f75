//! The command line of `upload-with-temp-tag`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use super::args::{Common, Item, Network};
use super::exit::Failure;
use super::output::{self, Report};
use super::progress::Bars;
use crate::copy::Options;
use crate::oci::{ImageReference, Registry};
use crate::upload::{Upload, Uploaded};
use crate::zuul::{Connection, ImageList};

/// Upload every platform of every image under one temporary tag
///
/// Blobs, child manifests and indexes go to the final registry as change_<N>_<tag> (or
/// <pipeline>_<tag>), so that promotion needs to write one manifest only. No tag is written before
/// the content of all images is in place.
#[derive(Debug, Parser)]
#[command(name = "upload-with-temp-tag", version, after_help = EXAMPLES)]
struct Arguments {
    /// The `container_images` or `docker_images` list (YAML or JSON; `-` reads stdin)
    #[arg(long, value_name = "IMAGES")]
    images: PathBuf,

    /// The buildset registry to read from: a CONNECTION file, or docker://HOST[:PORT]
    #[arg(long, value_name = "CONNECTION|REF")]
    from: String,

    /// Read this repository of the list from somewhere else
    #[arg(long, value_name = "REPO=REF", value_parser = mapping)]
    map: Vec<(String, ImageReference)>,

    #[command(flatten)]
    item: Item,

    /// Recorded in the artifacts
    #[arg(long, value_name = "P", requires = "change")]
    patchset: Option<String>,

    /// Write the final tags at once, for pipelines without promotion
    #[arg(long)]
    final_tags: bool,

    /// Say what would be moved, but write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    network: Network,

    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "\
Examples:
  upload-with-temp-tag --images images.yaml --from buildset.json --change 1001 --credentials login.yaml
  upload-with-temp-tag --images images.yaml --from buildset.json --pipeline periodic
  upload-with-temp-tag --images images.yaml --from buildset.json --pipeline tag --final-tags

Exit codes: 0 done, 1 failed, 2 wrong input, 3 refused by a safety rule (nothing was tagged).";

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    super::run(&arguments.common.clone(), arguments.run())
}

impl Arguments {
    async fn run(self) -> Result<Uploaded, Failure> {
        let images = ImageList::read(&self.images)?;
        let prefix = self.item.prefix()?;
        let credentials = self.network.registry_credentials()?;
        let (from, connection) = source(&self.from)?;
        let client = self.network.client(connection.as_slice())?;
        let options = Options { dry_run: self.dry_run, ..self.network.copying() };
        let upload = Upload {
            images: &images,
            from: &from,
            sources: &self.map.into_iter().collect::<BTreeMap<_, _>>(),
            prefix: (!self.final_tags).then_some(&prefix),
            patchset: self.patchset.as_deref(),
            credentials: credentials.as_ref(),
        };
        Ok(upload.run(&client, &options, &Bars::new(self.common.quiet)).await?)
    }
}

/// A value that names a transport is a reference, anything else a file.
fn source(value: &str) -> Result<(Registry, Option<Connection>), Failure> {
    let wrong =
        |reason: &dyn std::fmt::Display| Failure::input(format!("--from {value}: {reason}"));
    if let Some(registry) = value.strip_prefix("docker://") {
        let registry = registry.trim_end_matches('/').parse().map_err(|error| wrong(&error))?;
        return Ok((registry, None));
    }
    if ["oci:", "oci-archive:", "docker-archive:"].iter().any(|prefix| value.starts_with(prefix)) {
        return Err(wrong(&"layouts and archives cannot be uploaded yet; give a registry"));
    }
    let connection = Connection::read(Path::new(value))?;
    Ok((connection.registry()?, Some(connection)))
}

fn mapping(value: &str) -> Result<(String, ImageReference), String> {
    let (repository, source) = value.split_once('=').ok_or("expected REPO=REF")?;
    let source = source.parse::<ImageReference>().map_err(|error| error.to_string())?;
    Ok((repository.to_owned(), source))
}

impl Report for Uploaded {
    fn text(&self) -> String {
        output::copies(&self.outcome)
    }
}
