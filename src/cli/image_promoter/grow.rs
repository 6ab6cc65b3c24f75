use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::manifests::Judged;
use super::reach::Reach;
use crate::cli::exit::Failure;
use crate::cli::output::Report;
use crate::oci::Tag;
use crate::promoter::{
    self, Added, Details, Edges, Filters, Growth, Listing, Manifests, Sha256, Style,
};

#[derive(Debug, Args)]
pub(super) struct Grow {
    /// A folder with manifests/NAME/promoter-manifest.yaml and images/NAME/images.yaml
    #[arg(long, value_name = "DIR")]
    thin_manifest_dir: PathBuf,

    /// The staging registry: the manifest whose source it is grows
    #[arg(long, value_name = "HOST[:PORT][/PATH]")]
    registry: String,

    /// Only this image
    #[arg(long, value_name = "NAME")]
    image: Vec<String>,

    /// Only this digest
    #[arg(long, value_name = "DIGEST")]
    digest: Vec<Sha256>,

    /// Only this tag; `latest` is never added
    #[arg(long, value_name = "TAG")]
    tag: Vec<Tag>,

    /// How the file is written [default: the one it is nearest to]
    #[arg(long, value_enum)]
    style: Option<Written>,

    /// Write the file; without it, it is only said what would be added
    #[arg(long)]
    confirm: bool,

    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Written {
    /// By digest, tags joined by `, `, as snapshots are
    Digest,
    /// By smallest tag, tags joined by `,`, as `kpromo pr` writes
    Tag,
}

#[derive(Serialize)]
pub(super) struct Grown {
    dry_run: bool,
    #[serde(flatten)]
    growth: Growth,
}

impl Grow {
    pub(super) async fn run(self) -> Result<Judged<Grown>, Failure> {
        let mut manifests = Manifests::thin(&self.thin_manifest_dir)?;
        Edges::of(&mut manifests);
        if manifests.problems().has_errors() {
            return Ok(Judged::Wrong(manifests.take_problems()));
        }
        let filters = Filters { images: self.image, digests: self.digest, tags: self.tag };
        let listing = match &self.reach.file {
            Some(file) => Listing::read(file, &self.registry)?,
            None => {
                let accounts = manifests.accounts();
                let accounts: Vec<_> =
                    accounts.map(|(place, it)| (place.to_owned(), it.to_owned())).collect();
                let client = self.reach.client(&accounts, manifests.problems())?;
                Listing::ask(&client, &self.registry, self.reach.parallel(), Details::None).await?
            }
        };
        let listing = filters.apply(listing)?;
        let style = self.style.map(|style| match style {
            Written::Digest => Style::ByDigest,
            Written::Tag => Style::ByTag,
        });
        let growth = promoter::grow(&self.thin_manifest_dir, &self.registry, &listing, style)?;
        if growth.dropped_comments > 0 {
            let Growth { file, dropped_comments, .. } = &growth;
            tracing::warn!("{file}: {dropped_comments} comments between images are not kept");
        }
        if self.confirm && !growth.added.is_empty() {
            growth.write()?;
        }
        Ok(Judged::Fine(Grown { dry_run: !self.confirm, growth }))
    }
}

impl Report for Grown {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for Added { image, digest, tags } in &self.growth.added {
            let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
            writeln!(out, "{image}@{digest} {}", tags.join(" "))?;
        }
        let Growth { file, added, .. } = &self.growth;
        let done = if self.dry_run { "would be added with --confirm" } else { "added" };
        writeln!(out, "{file}: {} digests with new tags {done}", added.len())
    }
}
