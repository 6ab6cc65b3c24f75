use std::time::Instant;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::blobs::Mover;
use super::plan::{Plan, Write};
use super::resolve::{Resolved, resolve};
use super::source::Sources;
use super::{Error, ImageOutcome, Item, Options, Outcome, Progress, Totals};
use crate::client::Client;

/// Carries all items. Blobs come first, then manifests from the deepest up, then – when all of all
/// items is in place – the tags.
///
/// # Errors
/// The first failure stops everything. If it comes before the tags, nothing is tagged.
pub async fn run(
    client: &Client,
    items: Vec<Item>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    let before = client.statistics();
    let parallel = options.parallel.max(1);
    let sources = Sources::default();
    let resolved: Vec<Resolved> = stream::iter(&items)
        .map(|item| resolve(client, &sources, item, options))
        .buffered(parallel)
        .try_collect()
        .await?;
    let plan = Plan::new(&resolved)?;
    let (blobs, bytes) = plan.size();
    progress.planned(blobs, bytes);
    let mut totals = carry(&plan, options, progress).await?;
    let after = client.statistics();
    totals.requests = after.requests - before.requests;
    totals.retries = after.retries - before.retries;
    totals.seconds = started.elapsed().as_secs_f64();
    let images = items.into_iter().zip(resolved);
    let images = images.map(|(item, resolved)| outcome(item, resolved));
    Ok(Outcome { images: images.collect(), totals })
}

async fn carry(plan: &Plan, options: &Options, progress: &dyn Progress) -> Result<Totals, Error> {
    let parallel = options.parallel.max(1);
    let mover = Mover::new(options.dry_run, progress);
    let mut totals = stream::iter(&plan.blobs)
        .map(|job| mover.place(job))
        .buffer_unordered(parallel)
        .try_fold(Totals::default(), async |sum, placed| Ok(add(sum, placed)))
        .await?;
    for writes in plan.levels.values().chain([&plan.tags]) {
        totals.manifests_written += writes.len() as u64;
        if options.dry_run {
            continue;
        }
        stream::iter(writes).map(Ok).try_for_each_concurrent(parallel, write).await?;
    }
    Ok(totals)
}

async fn write(write: &Write) -> Result<(), Error> {
    let written = write.to.put_manifest(&write.reference, &write.manifest);
    written.await.map_err(|source| Error::client(&write.item, source))
}

fn add(mut sum: Totals, placed: Totals) -> Totals {
    sum.blobs_moved += placed.blobs_moved;
    sum.blobs_mounted += placed.blobs_mounted;
    sum.blobs_present += placed.blobs_present;
    sum.bytes_moved += placed.bytes_moved;
    sum
}

fn outcome(item: Item, resolved: Resolved) -> ImageOutcome {
    ImageOutcome {
        name: item.name,
        from: item.from,
        to: item.to,
        digest: resolved.digest,
        platforms: resolved.platforms,
        changed: resolved.content.is_some(),
        kept: resolved.kept,
    }
}
