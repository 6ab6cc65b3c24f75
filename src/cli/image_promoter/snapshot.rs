use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::manifests::{Judged, Source};
use super::reach::Reach;
use crate::cli::args::Common;
use crate::cli::exit::Failure;
use crate::cli::output::{Format, Report};
use crate::oci::Tag;
use crate::promoter::{Contents, Details, Listing, Style};

#[derive(Debug, Args)]
pub(super) struct Snapshot {
    /// HOST[:PORT][/PATH]: every repository below it
    #[arg(value_name = "REGISTRY", required_unless_present = "of_manifests")]
    registry: Option<String>,

    /// Not what is there, but what manifests say that belongs below this registry
    #[arg(long, value_name = "REGISTRY", conflicts_with_all = ["registry", "file"])]
    of_manifests: Option<String>,

    #[command(flatten)]
    source: Source,

    /// Leave out what has no tag and is part of an index of the registry
    #[arg(long)]
    minimal: bool,

    /// Only digests that have this tag; all their tags are listed
    #[arg(long, value_name = "TAG")]
    tag: Option<Tag>,

    /// How it is written; with --output json it is one JSON document instead
    #[arg(long, value_enum, default_value = "yaml")]
    format: Written,

    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Written {
    Yaml,
    Csv,
}

#[derive(Serialize)]
struct Listed {
    images: Listing,
    #[serde(skip)]
    format: Written,
}

impl Snapshot {
    pub(super) fn main(self, common: &Common) -> ExitCode {
        // Text unless something else is asked for: it is meant for files and pipes.
        let format = common.asked_output().unwrap_or(Format::Text);
        crate::cli::run_as(common, format, self.run())
    }

    async fn run(self) -> Result<Judged<Listed>, Failure> {
        self.reach.refuse_identities()?;
        let listing = match (&self.of_manifests, &self.registry, &self.reach.file) {
            (Some(registry), ..) => {
                let read = self.source.read(false)?;
                if read.problems.has_errors() {
                    return Ok(Judged::Wrong(read.problems));
                }
                Listing::of_edges(&read.edges, registry).with_root_named(registry)
            }
            (None, Some(registry), Some(file)) => {
                Listing::read(file, registry)?.with_root_named(registry)
            }
            (None, Some(registry), None) => {
                let client = self.reach.client_of_nobody()?;
                let read = Contents::default();
                let details = if self.minimal { Details::Children(&read) } else { Details::None };
                let listing = Listing::ask(&client, registry, self.reach.parallel(), details);
                listing.await?.with_root_named(registry)
            }
            (None, None, _) => return Err(Failure::input("give REGISTRY or --of-manifests")),
        };
        let listing = if self.minimal { listing.minimal() } else { listing };
        let images = match &self.tag {
            Some(tag) => listing.with_tag(tag),
            None => listing,
        };
        Ok(Judged::Fine(Listed { images, format: self.format }))
    }
}

impl Report for Listed {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        match self.format {
            Written::Yaml => self.images.write_yaml(out, Style::ByDigest),
            Written::Csv => self.images.write_csv(out),
        }
    }
}
