use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::empty::skip_looks;
use super::plan::{List, Plan, Write};
use super::queue::move_blobs;
use super::referrers::{self, ReferrerOutcome, Referrers};
use super::resolve::Resolved;
use super::source::Sources;
use super::tally::{Tally, listed};
use super::{Blobs, Builds, Error, ImageOutcome, Item, Options, Outcome, Progress, Totals};
use crate::client::{self, Client, Repository, TagMove};
use crate::oci::{Digest, ImageReference, Reference, Registry, RepositoryName};

/// Carries all items. Blobs come first, then manifests from the deepest up, then what is attached to
/// them, then – when all of all items is in place – the tags.
///
/// # Errors
/// The first failure stops everything. If it comes before the tags, nothing is tagged.
pub async fn run(
    client: &Client,
    items: Vec<Item>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    Run::start(client, options, progress).carry(items).await
}

/// Carries every tag of the repository of `from` to that of `to`. Tags that list the referrers of images
/// are left out where referrers travel with their images: at the destination they may list more.
///
/// # Errors
/// As [`run`]; also if the tags cannot be listed.
pub async fn run_all_tags(
    client: &Client,
    from: &ImageReference,
    to: &ImageReference,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let run = Run::start(client, options, progress);
    let repository = client.image(from);
    let tags = repository.tags().await;
    let tags = tags.map_err(|source| Error::client(&format!("{from} to {to}"), source))?;
    run.sources.know_tags(&repository, &tags);
    let travel = options.referrers != Referrers::None;
    let tags = tags.into_iter().filter(|tag| !travel || !referrers::is_list(tag));
    let items = tags.map(|tag| {
        let to = to.at(tag.clone());
        let (name, builds) = (to.to_string(), Builds::default());
        Item { name, from: from.at(tag).into(), to, expect: None, builds }
    });
    run.carry(items.collect()).await
}

/// What freed blocks the allocator may keep: those of some pieces on their way.
const KEPT: usize = 8 * 1024 * 1024;

/// Lets the allocator keep the blocks that pieces of blobs lay in. glibc gives blocks of that size back to
/// the system and takes others for the next piece, and their pages cost a quarter of the time of the
/// processor; once a large block is freed, it keeps blocks up to its size (mallopt(3), "dynamic mmap threshold").
/// No page of this one is touched.
fn keep_freed_memory() {
    drop(black_box(Vec::<u8>::with_capacity(KEPT)));
}

struct Run<'a> {
    client: &'a Client,
    options: &'a Options,
    progress: &'a dyn Progress,
    sources: Sources,
    started: Instant,
    /// Of the client, before the run.
    requests: u64,
    retries: u64,
}

impl<'a> Run<'a> {
    fn start(client: &'a Client, options: &'a Options, progress: &'a dyn Progress) -> Self {
        let before = client.statistics();
        Self {
            client,
            options,
            progress,
            sources: Sources::default(),
            started: Instant::now(),
            requests: before.requests,
            retries: before.retries,
        }
    }

    async fn carry(self, items: Vec<Item>) -> Result<Outcome, Error> {
        let Self { client, options, progress, ref sources, .. } = self;
        let parallel = options.parallel.max(1);
        let resolved: Vec<Resolved> = stream::iter(items.iter().enumerate())
            .map(|item| referrers::resolve_beside_others(client, sources, item, options))
            .buffered(parallel)
            .try_collect()
            .await?;
        let found = referrers::find(client, sources, &items, &resolved, options).await?;
        let mut plan = Plan::new(&resolved, found.groups())?;
        if !options.dry_run {
            skip_looks(&mut plan, parallel).await;
        }
        let (blobs, bytes) = plan.size();
        progress.planned(blobs, if options.dry_run { 0 } else { bytes });
        keep_freed_memory();
        let placed = move_blobs(&plan, options, progress).await?;
        let mut tally = Tally::new(items.len());
        placed.iter().for_each(|placed| tally.add(placed));
        let listed = if options.dry_run { listed(&placed, &items) } else { Vec::new() };
        let (manifests_written, kept) = write_manifests(&plan, options).await?;
        let after = client.statistics();
        let totals = Totals {
            manifests_written,
            requests: after.requests - self.requests,
            retries: after.retries - self.retries,
            seconds: self.started.elapsed().as_secs_f64(),
            ..tally.totals()
        };
        let images = items.into_iter().zip(resolved).zip(tally.into_images()).enumerate();
        let images = images.map(|(number, ((item, resolved), blobs))| {
            outcome(item, resolved, (blobs, found.outcome(number)), &kept)
        });
        let images = images.collect();
        Ok(Outcome { dry_run: options.dry_run, images, plan: listed, totals })
    }
}

/// Tags that were left, as their own builds pushed there since they were looked at.
type Kept = HashMap<Name, Digest>;
type Name = (Registry, RepositoryName, Reference);

/// How many were written, and which were not.
async fn write_manifests(plan: &Plan, options: &Options) -> Result<(u64, Kept), Error> {
    let parallel = options.parallel.max(1);
    let writes = plan.steps.values().chain([&plan.tags]);
    let mut count: u64 = writes.map(|writes| writes.len() as u64).sum();
    let mut kept = Kept::new();
    if options.dry_run {
        return Ok((count, kept));
    }
    for writes in plan.steps.values() {
        kept.extend(write_all(writes, parallel).await?);
    }
    let lists = stream::iter(&plan.lists).map(list).buffer_unordered(parallel);
    count += lists.try_fold(0, async |sum, it| Ok(sum + it)).await?;
    kept.extend(write_all(&plan.tags, parallel).await?);
    Ok((count - kept.len() as u64, kept))
}

async fn write_all(writes: &[Write], parallel: usize) -> Result<Vec<(Name, Digest)>, Error> {
    let written = stream::iter(writes).map(write).buffer_unordered(parallel);
    let written: Vec<_> = written.try_collect().await?;
    Ok(written.into_iter().flatten().collect())
}

/// How many lists of referrers had to be written.
async fn list(list: &List) -> Result<u64, Error> {
    let List { to, subject, manifests, item } = list;
    let written = to.list_pushed_referrers(subject, manifests).await;
    written.map(u64::from).map_err(|source| Error::client(item, source))
}

/// What the name stands for, where that is kept.
async fn write(write: &Write) -> Result<Option<(Name, Digest)>, Error> {
    let Write { to, reference, manifest, free, item } = write;
    if let (Reference::Tag(tag), Some(free)) = (reference, free) {
        match to.move_tag(tag, free, manifest).await {
            Ok(TagMove::Done | TagMove::There) => return Ok(None),
            Ok(TagMove::Meanwhile(Some(found))) => {
                return Err(Error::Raced { item: item.clone(), found });
            }
            Ok(TagMove::Barred(source)) | Err(source) => return Err(Error::client(item, source)),
            // It is free all the same.
            Ok(TagMove::Meanwhile(None)) => {}
        }
    }
    match to.put_manifest(reference, manifest).await {
        Ok(()) => Ok(None),
        Err(client::Error::Kept { digest, .. }) => Ok(Some((name(to, reference), digest))),
        Err(source) => Err(Error::client(item, source)),
    }
}

fn name(to: &Repository, reference: &Reference) -> Name {
    (to.registry().clone(), to.name().clone(), reference.clone())
}

fn outcome(
    item: Item,
    resolved: Resolved,
    (blobs, referrers): (Blobs, Vec<ReferrerOutcome>),
    kept: &Kept,
) -> ImageOutcome {
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
        referrers,
    }
}
