use std::fmt::Write as _;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::place::Place;
use super::stores::{self, OfStore};
use crate::cli::exit::Failure;
use crate::cli::output::{self, Report};
use crate::oci::{RepositoryName, Tag};
use crate::registry::Config;
use crate::registry::config::Period;
use crate::storage::{Pruned, Pruning, Storage};

const EXAMPLES: &str = "\
Examples:
  Say what nobody used for a week, and why it would go; then remove it:
    buildset-registry prune --root /srv/registry --older-than 7d --dry-run
    buildset-registry prune --root /srv/registry --older-than 7d

  Every night, by cron, as the user who serves:
    0 3 * * * registry buildset-registry prune -q --config /etc/registry/config.yaml --older-than 30d >/dev/null

Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration, 3 refused (already being pruned).";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Place,

    /// Remove images that nobody has pushed or pulled for so long, e.g. 7d; what images that stay need
    /// stays too
    #[arg(long, value_name = "TIME")]
    older_than: Period,

    /// Leave blobs alone that were pushed or asked for within this time: the manifest that needs them
    /// may be on its way. Should be longer than the longest push
    #[arg(long, value_name = "TIME", default_value = "1h")]
    grace: Period,

    /// Only say what would be removed, and why
    #[arg(long)]
    dry_run: bool,
}

/// What was removed from each store.
#[derive(Debug, Serialize)]
pub(super) struct PruneReport {
    dry_run: bool,
    stores: Vec<OfStore<Pruned>>,
    seconds: f64,
}

impl Arguments {
    /// A registry that serves goes on serving.
    pub(super) async fn run(self) -> Result<PruneReport, Failure> {
        let started = Instant::now();
        let config = Config::read(&self.place.config_file())?;
        let pruning = Pruning {
            older_than: self.older_than.0,
            grace: self.grace.0,
            keep: config.speculative.named_images()?,
            dry_run: self.dry_run,
        };
        let mut stores = Vec::new();
        for store in stores::open(&config)? {
            let pruned = store.storage.prune(pruning.clone()).await.map_err(stores::failure)?;
            stores.push(store.with(pruned));
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(PruneReport { dry_run: self.dry_run, stores, seconds })
    }
}

impl Report for PruneReport {
    fn text(&self) -> String {
        let done = if self.dry_run { "would be removed" } else { "removed" };
        stores::text(&self.stores, |pruned| text(pruned, done))
    }
}

fn text(pruned: &Pruned, done: &str) -> String {
    let mut text = String::new();
    if !pruned.manifests.is_empty() {
        let header = ["REPOSITORY", "TAGS", "DIGEST", "LAST USED", "WHY"];
        text += &output::table(header, &manifests(pruned));
    }
    if !pruned.blobs.is_empty() {
        text += &output::table(["BLOB", "SIZE", "FREED", "WHY"], &blobs(pruned));
    }
    let totals = &pruned.totals;
    let _ = writeln!(
        text,
        "{done}: {} images with {} tags, {} blobs ({}); kept: {} images ({} old ones that others need), {} blobs",
        totals.manifests_removed,
        totals.tags_removed,
        totals.blobs_removed,
        output::bytes(totals.bytes_freed),
        totals.manifests_kept,
        totals.manifests_needed,
        totals.blobs_kept,
    );
    text
}

fn manifests(pruned: &Pruned) -> Vec<[String; 5]> {
    let rows = pruned.manifests.iter().map(|gone| {
        [
            gone.repository.to_string(),
            joined(gone.tags.iter().map(Tag::as_str)),
            gone.digest.short().to_owned(),
            gone.used_text(),
            gone.why.clone(),
        ]
    });
    rows.collect()
}

fn blobs(pruned: &Pruned) -> Vec<[String; 4]> {
    let rows = pruned.blobs.iter().map(|gone| {
        let why = match gone.repositories.is_empty() {
            true => gone.why.clone(),
            false => {
                let names = gone.repositories.iter().map(RepositoryName::as_str);
                format!("{} ({})", gone.why, joined(names))
            }
        };
        let freed = if gone.freed { "yes" } else { "others link it" };
        [gone.digest.short().to_owned(), output::bytes(gone.size), freed.to_owned(), why]
    });
    rows.collect()
}

/// The first few; there may be thousands.
fn joined<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = names.len();
    let mut text = names.take(3).collect::<Vec<_>>().join(", ");
    if count > 3 {
        let _ = write!(text, " and {} more", count - 3);
    }
    text
}
