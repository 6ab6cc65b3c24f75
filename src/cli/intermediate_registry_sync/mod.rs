//! The command line of `intermediate-registry-sync`.

mod pull;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use self::pull::Pull;
use super::args::{Along, Common, Network};
use super::exit::Failure;
use super::output::{self, Report};
use super::progress::Bars;
use crate::copy::Options;
use crate::layout::Layout;
use crate::oci::{ImageReference, LayoutReference, Location, Platform};
use crate::sync::{self, Build, Moved, Pulled};
use crate::zuul::{BuildId, Connection, ImageList, Label, MirrorList};

/// Move images between a buildset registry and the intermediate registry, and from any registry to any
///
/// Bytes are never re-encoded: the digest at the source is the digest at the destination, with every
/// platform. Blobs stream from one side to the other; no tag is written before all content is there.
#[derive(Debug, Parser)]
#[command(name = "intermediate-registry-sync", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  intermediate-registry-sync push --images images.yaml --from buildset.json --to intermediate.json \\
      --build 0123456789abcdef0123456789abcdef
  intermediate-registry-sync pull --artifacts artifacts.json --from intermediate.json --to buildset.json \\
      --zuul zuul.json --zuul-api https://zuul.example.org/api/tenant/example
  intermediate-registry-sync copy quay.io/org/img:1 registry.example.org/img:1
  intermediate-registry-sync copy --all-tags quay.io/org/img registry.example.org/img
  intermediate-registry-sync copy oci-archive:img.tar registry.example.org/img:1
  intermediate-registry-sync mirror --images mirror.yaml --credentials login.yaml

Exit codes: 0 done, 1 failed, 2 wrong input, 3 refused by a safety rule (nothing was tagged).";

#[derive(Debug, Subcommand)]
enum Command {
    /// Images of this build, so that dependent changes find them
    Push(Push),
    /// Images of the changes ahead, as their artifacts name them
    Pull(Pull),
    /// One image, or all tags of a repository
    Copy(Copy),
    /// Every image of a list, from its registry to another
    Mirror(Mirror),
}

#[derive(Debug, Args)]
struct Push {
    /// The `container_images` or `docker_images` list (YAML or JSON; `-` reads stdin)
    #[arg(long, value_name = "IMAGES")]
    images: PathBuf,

    /// The buildset registry
    #[arg(long, value_name = "CONNECTION")]
    from: PathBuf,

    /// The intermediate registry
    #[arg(long, value_name = "CONNECTION")]
    to: PathBuf,

    /// zuul.build: the images are tagged <UUID>_<tag>
    #[arg(long, value_name = "UUID")]
    build: BuildId,

    /// zuul.tenant: our intermediate registry keeps it with the tags, and refuses them to other tenants
    #[arg(long, value_name = "NAME")]
    tenant: Option<Label>,

    /// zuul.project.name, kept with the tags
    #[arg(long, value_name = "NAME")]
    project: Option<Label>,

    /// zuul.change, kept with the tags
    #[arg(long, value_name = "N")]
    change: Option<Label>,

    #[command(flatten)]
    moving: Moving,
}

#[derive(Debug, Args)]
struct Copy {
    /// [docker://]HOST[:PORT]/REPO[:TAG|@DIGEST], oci:DIR[:NAME], oci-archive:FILE[:NAME] or
    /// docker-archive:FILE[:NAME]; NAME is a tag, a whole reference or @POSITION, and needed only among
    /// several images
    #[arg(value_name = "SRC")]
    source: Location,

    /// [docker://]HOST[:PORT]/REPO[:TAG]
    #[arg(value_name = "DST")]
    destination: ImageReference,

    /// Every tag of SRC's repository
    #[arg(long)]
    all_tags: bool,

    /// Only this platform of an index, as the image it is; an index is never rewritten, so several
    /// must be all it has
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Vec<Platform>,

    #[command(flatten)]
    along: Along,

    #[command(flatten)]
    moving: Moving,
}

#[derive(Debug, Args)]
struct Mirror {
    /// The `mirror_container_images_images` list (YAML or JSON; `-` reads stdin)
    #[arg(long, value_name = "FILE")]
    images: PathBuf,

    #[command(flatten)]
    along: Along,

    #[command(flatten)]
    moving: Moving,
}

#[derive(Debug, Args)]
struct Moving {
    /// Say what would be moved, but write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    network: Network,
}

/// What a run did.
#[derive(Serialize)]
#[serde(untagged)]
enum Done {
    Moved(Moved),
    Pulled(Pulled),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { common, command } = Arguments::parse();
    super::run(&common.clone(), async move {
        let bars = Bars::new(common.quiet);
        match command {
            Command::Push(arguments) => arguments.run(&bars).await.map(Done::Moved),
            Command::Pull(arguments) => arguments.run(&bars).await.map(Done::Pulled),
            Command::Copy(arguments) => arguments.run(&bars).await.map(Done::Moved),
            Command::Mirror(arguments) => arguments.run(&bars).await.map(Done::Moved),
        }
    })
}

impl Push {
    async fn run(self, bars: &Bars) -> Result<Moved, Failure> {
        let images = ImageList::read(&self.images)?;
        let connections = [Connection::read(&self.from)?, Connection::read(&self.to)?];
        let [from, to] = &connections;
        let (from, to) = (from.registry()?, to.registry()?);
        let client = self.moving.network.client(&connections)?;
        let options = self.moving.options();
        let Self { build: id, tenant, project, change, .. } = self;
        let build = Build { id, tenant, project, change };
        Ok(sync::push(&client, &images, &from, &to, &build, &options, bars).await?)
    }
}

impl Copy {
    async fn run(self, bars: &Bars) -> Result<Moved, Failure> {
        let names_one = match &self.source {
            Location::Registry(source) => source.tag.is_some(),
            Location::Layout(_) => true,
        };
        if self.all_tags && (names_one || self.destination.tag.is_some()) {
            return Err(Failure::input(
                "--all-tags copies every tag: give SRC and DST as repositories, without a tag",
            ));
        }
        if let Some(credentials) = self.moving.network.registry_credentials()? {
            credentials.allow_reference(&self.destination)?;
        }
        let client = self.moving.network.client(&[])?;
        let referrers = self.along.referrers();
        let options = Options { platforms: self.platform, referrers, ..self.moving.options() };
        let to = &self.destination;
        let source = match self.source {
            Location::Registry(from) if self.all_tags => {
                return Ok(sync::copy_all_tags(&client, &from, to, &options, bars).await?);
            }
            Location::Registry(from) => from.into(),
            Location::Layout(LayoutReference { transport, path, choice }) => {
                let layout = Layout::open(transport, &path).await?;
                layout.image(choice.as_ref()).await?.into()
            }
        };
        Ok(sync::copy(&client, source, to, &options, bars).await?)
    }
}

impl Mirror {
    async fn run(self, bars: &Bars) -> Result<Moved, Failure> {
        let images = MirrorList::read(&self.images)?;
        if let Some(credentials) = self.moving.network.registry_credentials()? {
            images.allowed_by(&credentials)?;
        }
        let client = self.moving.network.client(&[])?;
        let referrers = self.along.referrers();
        let options = Options { referrers, ..self.moving.options() };
        Ok(sync::mirror(&client, &images, &options, bars).await?)
    }
}

impl Moving {
    fn options(&self) -> Options {
        Options { dry_run: self.dry_run, ..self.network.copying() }
    }
}

impl Report for Done {
    fn text(&self) -> String {
        let pulled = match self {
            Self::Moved(moved) => return output::copies(&moved.outcome),
            Self::Pulled(pulled) => pulled,
        };
        let rows = pulled.images.iter().map(|it| (&it.image, it.lazy));
        let mut text = output::images(rows, &pulled.totals, pulled.dry_run);
        for it in &pulled.images {
            if let Some(reason) = &it.eager_because {
                let line = format!("{} was copied at once: {reason}", it.image.name);
                text.push_str(&output::printable(&line));
                text.push('\n');
            }
        }
        text
    }
}
