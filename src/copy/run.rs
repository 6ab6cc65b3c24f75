use std::collections::HashMap;
use std::time::Instant;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::blobs::Mover;
use super::empty::skip_looks;
use super::plan::{Plan, Write};
use super::resolve::{Resolved, resolve};
use super::source::Sources;
use super::{Error, ImageOutcome, Item, Options, Outcome, Progress, Totals};
use crate::client::{self, Client, Repository};
use crate::oci::{Digest, Reference, Registry, RepositoryName};

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
    let mut plan = Plan::new(&resolved)?;
    if !options.dry_run {
        skip_looks(&mut plan, parallel).await;
    }
    let (blobs, bytes) = plan.size();
    progress.planned(blobs, bytes);
    let Carried { mut totals, kept } = carry(&plan, options, progress).await?;
    let after = client.statistics();
    totals.requests = after.requests - before.requests;
    totals.retries = after.retries - before.retries;
    totals.seconds = started.elapsed().as_secs_f64();
    let images = items.into_iter().zip(resolved);
    let images = images.map(|(item, resolved)| outcome(item, resolved, &kept));
    Ok(Outcome { images: images.collect(), totals })
}

/// What was carried.
struct Carried {
    totals: Totals,
    /// Tags that were left, as their own builds pushed there since they were looked at.
    kept: Kept,
}

type Kept = HashMap<Name, Digest>;
type Name = (Registry, RepositoryName, Reference);

async fn carry(plan: &Plan, options: &Options, progress: &dyn Progress) -> Result<Carried, Error> {
    let parallel = options.parallel.max(1);
    let mover = Mover::new(options.dry_run, progress);
    let mut totals = stream::iter(&plan.blobs)
        .map(|job| mover.place(job))
        .buffer_unordered(parallel)
        .try_fold(Totals::default(), async |sum, placed| Ok(add(sum, placed)))
        .await?;
    let mut kept = Kept::new();
    for writes in plan.levels.values().chain([&plan.tags]) {
        totals.manifests_written += writes.len() as u64;
        if options.dry_run {
            continue;
        }
        let written = stream::iter(writes).map(write).buffer_unordered(parallel);
        let written: Vec<_> = written.try_collect().await?;
        kept.extend(written.into_iter().flatten());
    }
    totals.manifests_written -= kept.len() as u64;
    Ok(Carried { totals, kept })
}

/// What the name stands for, where that is kept.
async fn write(write: &Write) -> Result<Option<(Name, Digest)>, Error> {
    let Write { to, reference, manifest, item } = write;
    match to.put_manifest(reference, manifest).await {
        Ok(()) => Ok(None),
        Err(client::Error::Kept { digest, .. }) => Ok(Some((name(to, reference), digest))),
        Err(source) => Err(Error::client(item, source)),
    }
}

fn name(to: &Repository, reference: &Reference) -> Name {
    (to.registry().clone(), to.name().clone(), reference.clone())
}

fn add(mut sum: Totals, placed: Totals) -> Totals {
    sum.blobs_moved += placed.blobs_moved;
    sum.blobs_mounted += placed.blobs_mounted;
    sum.blobs_present += placed.blobs_present;
    sum.bytes_moved += placed.bytes_moved;
    sum
}

fn outcome(item: Item, resolved: Resolved, kept: &Kept) -> ImageOutcome {
    let own = kept.get(&name(&resolved.to, &resolved.reference));
    ImageOutcome {
        name: item.name,
        from: item.from,
        to: item.to,
        changed: resolved.content.is_some() && own.is_none(),
        kept: resolved.kept || own.is_some(),
        platforms: if own.is_some() { Vec::new() } else { resolved.platforms },
        digest: own.cloned().unwrap_or(resolved.digest),
    }
}
