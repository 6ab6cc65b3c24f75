use std::collections::HashMap;
use std::time::Instant;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::empty::skip_looks;
use super::plan::{Plan, Write};
use super::queue::move_blobs;
use super::resolve::{Resolved, resolve};
use super::source::Sources;
use super::tally::{Tally, listed};
use super::{Blobs, Error, ImageOutcome, Item, Options, Outcome, Progress, Totals};
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
    let resolved: Vec<Resolved> = stream::iter(items.iter().enumerate())
        .map(|item| resolve(client, &sources, item, options))
        .buffered(parallel)
        .try_collect()
        .await?;
    let mut plan = Plan::new(&resolved)?;
    if !options.dry_run {
        skip_looks(&mut plan, parallel).await;
    }
    let (blobs, bytes) = plan.size();
    progress.planned(blobs, if options.dry_run { 0 } else { bytes });
    let placed = move_blobs(&plan, options, progress).await?;
    let mut tally = Tally::new(items.len());
    placed.iter().for_each(|placed| tally.add(placed));
    let listed = if options.dry_run { listed(&placed, &items) } else { Vec::new() };
    let (manifests_written, kept) = write_manifests(&plan, options).await?;
    let after = client.statistics();
    let totals = Totals {
        manifests_written,
        requests: after.requests - before.requests,
        retries: after.retries - before.retries,
        seconds: started.elapsed().as_secs_f64(),
        ..tally.totals()
    };
    let images = items.into_iter().zip(resolved).zip(tally.into_images());
    let images = images.map(|((item, resolved), blobs)| outcome(item, resolved, blobs, &kept));
    let images = images.collect();
    Ok(Outcome { dry_run: options.dry_run, images, plan: listed, totals })
}

/// Tags that were left, as their own builds pushed there since they were looked at.
type Kept = HashMap<Name, Digest>;
type Name = (Registry, RepositoryName, Reference);

/// How many were written, and which were not.
async fn write_manifests(plan: &Plan, options: &Options) -> Result<(u64, Kept), Error> {
    let (mut count, mut kept) = (0, Kept::new());
    for writes in plan.levels.values().chain([&plan.tags]) {
        count += writes.len() as u64;
        if options.dry_run {
            continue;
        }
        let written = stream::iter(writes).map(write).buffer_unordered(options.parallel.max(1));
        let written: Vec<_> = written.try_collect().await?;
        kept.extend(written.into_iter().flatten());
    }
    Ok((count - kept.len() as u64, kept))
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

fn outcome(item: Item, resolved: Resolved, blobs: Blobs, kept: &Kept) -> ImageOutcome {
    let own = kept.get(&name(&resolved.to, &resolved.reference));
    ImageOutcome {
        name: item.name,
        from: item.from,
        to: item.to,
        changed: resolved.content.is_some() && own.is_none(),
        kept: resolved.kept || own.is_some(),
        blobs,
        platforms: if own.is_some() { Vec::new() } else { resolved.platforms },
        digest: own.cloned().unwrap_or(resolved.digest),
    }
}
