//! The command line of `upload-with-temp-tag`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use super::args::{Along, Common, Item, Network};
use super::exit::Failure;
use super::output::{self, Report};
use super::progress::Bars;
use crate::copy::Options;
use crate::layout::Layout;
use crate::oci::{LayoutReference, Location, Transport};
use crate::upload::{Holder, Upload, Uploaded};
use crate::zuul::{Connection, ImageList};

/// Upload every platform of every image under one temporary tag
///
/// Blobs, child manifests and indexes go to the final registry as change_<N>_<tag> (or
/// <pipeline>_<tag>), so that promotion needs to write one manifest only. No tag is written before
/// the content of all images is in place. What is attached to an image in the buildset registry is
/// carried along; it never takes the place of signatures that the final registry has.
#[derive(Debug, Parser)]
#[command(name = "upload-with-temp-tag", version, after_help = EXAMPLES)]
struct Arguments {
    /// The `container_images` or `docker_images` list (YAML or JSON; `-` reads stdin)
    #[arg(long, value_name = "IMAGES")]
    images: PathBuf,

    /// What holds the images: the buildset registry, as a CONNECTION file or docker://HOST[:PORT]; or
    /// oci:DIR, oci-archive:FILE or docker-archive:FILE, in which each is found by its name
    /// (REPOSITORY:TAG; if only one repository is listed, also by the tag, or as the only image)
    #[arg(long, value_name = "CONNECTION|REF")]
    from: String,

    /// Read this repository of the list from somewhere else: an image of any registry, or a layout or
    /// archive as for --from, with :NAME behind it for one image of it
    #[arg(long, value_name = "REPO=REF", value_parser = mapping)]
    map: Vec<(String, Location)>,

    #[command(flatten)]
    item: Item,

    /// Recorded in the artifacts
    #[arg(long, value_name = "P", requires = "change")]
    patchset: Option<String>,

    /// Write the final tags at once, for pipelines without promotion
    #[arg(long)]
    final_tags: bool,

    #[command(flatten)]
    along: Along,

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
  upload-with-temp-tag --images images.yaml --from oci-archive:images.tar --change 1001
  upload-with-temp-tag --images images.yaml --from buildset.json --change 1001 \\
      --map quay.io/org/img=docker-archive:img.tar

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
        let mut layouts = Layouts::default();
        let (from, connection) = source(&self.from, &mut layouts).await?;
        let mut elsewhere = BTreeMap::new();
        for (repository, location) in self.map {
            let holder = match location {
                Location::Registry(image) => Holder::Image(image),
                Location::Layout(layout) => layouts.holder(layout).await?,
            };
            elsewhere.insert(repository, holder);
        }
        let client = self.network.client(connection.as_slice())?;
        let options = Options {
            dry_run: self.dry_run,
            referrers: self.along.referrers(),
            // Every job of the buildset can write to its registry.
            keep_signatures: true,
            ..self.network.copying()
        };
        let upload = Upload {
            images: &images,
            from,
            elsewhere,
            prefix: (!self.final_tags).then_some(&prefix),
            patchset: self.patchset.as_deref(),
            credentials: credentials.as_ref(),
        };
        Ok(upload.run(&client, &options, &Bars::new(self.common.quiet)).await?)
    }
}

/// A value that names a transport is a reference, anything else a file.
async fn source(
    value: &str,
    layouts: &mut Layouts,
) -> Result<(Holder, Option<Connection>), Failure> {
    let wrong =
        |reason: &dyn std::fmt::Display| Failure::input(format!("--from {value}: {reason}"));
    if let Some(registry) = value.strip_prefix("docker://") {
        let registry = registry.trim_end_matches('/').parse().map_err(|error| wrong(&error))?;
        return Ok((Holder::Registry(registry), None));
    }
    if Location::is_named_by(value) {
        let layout = value.parse().map_err(|error| wrong(&error))?;
        return Ok((layouts.holder(layout).await?, None));
    }
    let connection = Connection::read(Path::new(value))?;
    Ok((Holder::Registry(connection.registry()?), Some(connection)))
}

/// Layouts and archives, each opened once.
#[derive(Default)]
struct Layouts(BTreeMap<(Transport, PathBuf), Arc<Layout>>);

impl Layouts {
    async fn holder(&mut self, reference: LayoutReference) -> Result<Holder, Failure> {
        let LayoutReference { transport, path, choice } = reference;
        let layout = match self.0.entry((transport, path)) {
            Entry::Occupied(place) => Arc::clone(place.get()),
            Entry::Vacant(place) => {
                let layout = Layout::open(transport, &place.key().1).await?;
                Arc::clone(place.insert(layout))
            }
        };
        Ok(Holder::Layout(layout, choice))
    }
}

fn mapping(value: &str) -> Result<(String, Location), String> {
    let (repository, source) = value.split_once('=').ok_or("expected REPO=REF")?;
    let source = source.parse::<Location>().map_err(|error| error.to_string())?;
    Ok((repository.to_owned(), source))
}

impl Report for Uploaded {
    fn text(&self) -> String {
        output::copies(&self.outcome)
    }
}
