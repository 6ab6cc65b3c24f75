use std::path::Path;
use std::time::Instant;

use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;

use super::outcome::Totals;
use super::record::{Batch, Before, Entry, Record};
use super::settle::{self, left};
pub use super::undo::PutBack;
use super::undo::Written;
use super::verify::Below;
use super::{Error, FinalTag, Options};
use crate::client::Client;
use crate::oci::{Digest, Tag};
use crate::removal::TagRemover;

/// What was rolled back.
#[derive(Debug, Serialize)]
pub struct RolledBack {
    /// Whether nothing was written because only a plan was wanted.
    pub dry_run: bool,
    /// Every tag that the promotion wrote, in its order.
    pub rolled_back: Vec<RolledBackTag>,
    /// Sums.
    pub totals: Totals,
}

/// One tag that a promotion wrote.
#[derive(Debug, Serialize)]
pub struct RolledBackTag {
    /// The repository as the job spells it.
    pub repository: String,
    /// The tag.
    pub tag: Tag,
    /// What the promotion gave it.
    pub promoted: Digest,
    /// What it held before; none if it did not exist.
    pub previous: Option<Digest>,
    /// What became of it (or would, in a dry run).
    pub result: PutBack,
}

/// Takes a promotion back that is in a record, whether it was finished or not: each tag that still holds
/// what was promoted gets back what it held before, byte for byte from the record. Once more changes
/// nothing more.
///
/// # Errors
/// A record that cannot be used, or names what the credentials are not for. What becomes of a single tag
/// is in the report.
pub async fn rollback(
    client: &Client,
    file: &Path,
    options: &Options<'_>,
) -> Result<RolledBack, Error> {
    let (started, before) = (Instant::now(), client.statistics());
    let mut record = Record::existing(file, options.dry_run).await?;
    let written = record.batch().into_iter().flat_map(Batch::to_undo);
    let written = settle::written(client, written, options.credentials)?;
    let registries = written.iter().map(|written| written.tag.registry.clone());
    let remover = options.remover(client, registries).await?;
    let undone = put_back(written, &remover, options).await?;
    if !options.dry_run && !undone.is_empty() && !undone.iter().any(|(_, one)| one.is_open()) {
        record.rolled_back(left(&undone)).await?;
    }
    let entries = record.batch().into_iter().flat_map(|batch| &batch.entries);
    let rolled_back: Vec<RolledBackTag> =
        entries.filter_map(|entry| RolledBackTag::new(entry, &undone)).collect();
    let done = rolled_back.iter().filter(|tag| tag.result == PutBack::Done).count();
    let written = if options.dry_run { 0 } else { done };
    Ok(RolledBack {
        dry_run: options.dry_run,
        rolled_back,
        totals: Totals::since(started, before, client.statistics(), written),
    })
}

/// An index whose children have gone meanwhile would be a tag that nobody can pull; it is not put back.
async fn put_back(
    written: Vec<Written>,
    remover: &TagRemover,
    options: &Options<'_>,
) -> Result<Vec<(FinalTag, PutBack)>, Error> {
    let roots = written.iter().filter_map(|one| Some((&one.repository, one.before.as_ref()?)));
    let below = Below::read(roots, options.parallel).await?;
    let undone = stream::iter(written).map(async |one: Written| {
        let before = one.before.as_ref();
        let missing = before.map(|before| below.objections(&one.repository, before));
        let missing = missing.filter(|missing| !missing.is_empty());
        let undone = match (one.would_put_back().await, missing) {
            (PutBack::Done, Some(missing)) => PutBack::Incomplete(missing.join(", ")),
            (PutBack::Done, None) if !options.dry_run => one.put_back(remover).await,
            (needless, _) => needless,
        };
        (one.tag, undone)
    });
    Ok(undone.buffered(options.parallel.max(1)).collect().await)
}

impl RolledBackTag {
    fn new(entry: &Entry, undone: &[(FinalTag, PutBack)]) -> Option<Self> {
        let previous = match &entry.before {
            Before::Same => return None,
            Before::Absent => None,
            Before::Held(manifest) => Some(manifest.digest().clone()),
        };
        // What is not in the list was put back by an earlier run.
        let result = undone.iter().find(|(tag, _)| *tag == entry.to);
        Some(Self {
            repository: entry.repository.clone(),
            tag: entry.to.tag.clone(),
            promoted: entry.digest.clone(),
            previous,
            result: result.map_or(PutBack::Already, |(_, result)| result.clone()),
        })
    }
}
