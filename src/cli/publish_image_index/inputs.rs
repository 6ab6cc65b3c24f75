use std::path::PathBuf;

use clap::Args;

use crate::cli::exit::Failure;
use crate::copy::Source;
use crate::index::{Architecture, Input, MetadataFile, Tree};
use crate::layout::Layout;
use crate::oci::Location;

/// What the index is made of.
#[derive(Debug, Args)]
#[command(next_help_heading = "Images")]
pub(super) struct Inputs {
    /// The image of an architecture, by Fedora's, Debian's or OCI's name for it, from a registry, layout or
    /// archive; of an index there it is the one for this architecture
    #[arg(long, value_name = "ARCH=REF", required_unless_present = "tree", conflicts_with = "tree",
        value_parser = image)]
    image: Vec<(Architecture, Location)>,

    /// Take the images from the folder of coreos-assembler that holds `builds`, and record in every meta.json
    /// what was published
    #[arg(long, value_name = "DIR", requires = "artifact")]
    tree: Option<PathBuf>,

    /// Which of the `images` in each meta.json
    #[arg(long, value_name = "NAME", requires = "tree")]
    artifact: Option<String>,

    /// Which build of the tree [default: the latest]
    #[arg(long, value_name = "ID", requires = "tree")]
    build: Option<String>,

    /// Only these architectures of the build; one that lacks the artifact is an error then
    #[arg(long, value_name = "ARCH", requires = "tree")]
    arch: Vec<Architecture>,
}

/// What was given.
pub(super) struct Read {
    pub(super) images: Vec<Input>,
    pub(super) metadata: Vec<MetadataFile>,
    /// Which build of a tree it is.
    pub(super) build: Option<String>,
}

impl Inputs {
    pub(super) async fn read(self) -> Result<Read, Failure> {
        if let (Some(root), Some(artifact)) = (self.tree, self.artifact) {
            let tree = Tree { root, build: self.build, artifact, architectures: self.arch };
            let found = tree.read().await?;
            for architecture in &found.skipped {
                tracing::warn!(
                    "{architecture} is left out: it has no artifact `{}`",
                    tree.artifact
                );
            }
            let (images, metadata) = (found.images, found.metadata);
            return Ok(Read { images, metadata, build: Some(found.build) });
        }
        let mut images = Vec::new();
        for (architecture, location) in self.image {
            let source: Source = match location {
                Location::Registry(image) => image.into(),
                Location::Layout(place) => {
                    let layout = Layout::open(place.transport, &place.path).await?;
                    layout.image(place.choice.as_ref()).await?.into()
                }
            };
            images.push(Input { architecture, source });
        }
        Ok(Read { images, metadata: Vec::new(), build: None })
    }
}

fn image(value: &str) -> Result<(Architecture, Location), String> {
    let (architecture, place) = value.split_once('=').ok_or("expected ARCH=REF")?;
    let architecture =
        architecture.parse().map_err(|error: crate::index::Error| error.to_string())?;
    let place = place.parse().map_err(|error: crate::oci::Error| error.to_string())?;
    Ok((architecture, place))
}
