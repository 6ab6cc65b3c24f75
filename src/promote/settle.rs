use super::record::{Batch, Before, Ending, Entry, Left, Record};
use super::undo::{self, PutBack, Written};
use super::verify::{self, Verified};
use super::{Error, FinalTag, Options, Promotion};
use crate::client::Client;
use crate::oci::ImageReference;
use crate::zuul::RegistryCredentials;

/// Phase one, and what it means for the record of an earlier run.
pub(super) struct Settled<'a> {
    pub(super) verified: Vec<Verified<'a>>,
    /// Whether an earlier run began this very promotion and did not finish it.
    pub(super) unfinished: bool,
}

/// Verifies. A record that was not finished is settled by that: if it is of this very promotion – the same
/// tags with the same digests – this run finishes it; else it is put back first.
pub(super) async fn verified<'a>(
    client: &Client,
    promotions: &'a [Promotion],
    options: &Options<'_>,
    record: Option<&mut Record>,
) -> Result<Settled<'a>, Error> {
    let Some(record) = record else {
        let verified = verify::all(client, promotions, options, None).await?;
        return Ok(Settled { verified, unfinished: false });
    };
    let verified = verify::all(client, promotions, options, record.batch()).await;
    let unfinished = record.batch().is_some_and(|batch| batch.outcome.is_none());
    let verified = match (verified, record.batch()) {
        (Ok(mut verified), Some(batch)) if batch.is_of(&verified) => {
            adopt(&mut verified, batch);
            return Ok(Settled { verified, unfinished });
        }
        (Err(Error::Refused(reasons)), _) => Err(Error::Refused(reasons)),
        (verified, _) => Ok(verified?),
    };
    if unfinished && options.dry_run {
        tracing::warn!("{} was not finished, and would be put back first", record.name());
    } else if unfinished {
        put_back(client, record, options).await?;
        // The tags are no longer as they were seen.
        let verified = verify::all(client, promotions, options, record.batch()).await?;
        return Ok(Settled { verified, unfinished: false });
    }
    Ok(Settled { verified: verified?, unfinished: false })
}

/// What the earlier run wrote is right already; what was there before it is what undoes it. Of what was put
/// back nothing is its own any more.
fn adopt(verified: &mut [Verified<'_>], batch: &Batch) {
    for verified in verified.iter_mut().filter(|verified| verified.change.is_none()) {
        let entry = batch.to_undo().find(|entry| entry.to == verified.promotion.to);
        verified.earlier = entry.map(|entry| entry.before.clone());
    }
}

async fn put_back(
    client: &Client,
    record: &mut Record,
    options: &Options<'_>,
) -> Result<(), Error> {
    let entries = record.batch().into_iter().flat_map(Batch::to_undo);
    let written = written(client, entries, options.credentials)?;
    let registries = written.iter().map(|written| written.tag.registry.clone());
    let remover = options.remover(client, registries).await?;
    let undone = undo::all(written, &remover, options.parallel).await;
    let open: Vec<String> = undone
        .iter()
        .filter(|(_, undone)| undone.is_open())
        .filter_map(|(tag, undone)| Some(format!("{tag} ({})", undone.left()?)))
        .collect();
    if !open.is_empty() {
        return Err(Error::Unsettled { file: record.name(), cause: open.join(", ") });
    }
    let left = left(&undone);
    for Left { tag, reason } in &left {
        tracing::warn!("{}: {tag} was not put back: {reason}", record.name());
    }
    tracing::warn!("{} was not finished: its tags were put back", record.name());
    Ok(record.end(Ending::Undone, left).await?)
}

/// The tags of a record as they are put back. What it names is judged like what is to be promoted.
pub(super) fn written<'a>(
    client: &Client,
    entries: impl Iterator<Item = &'a Entry>,
    credentials: Option<&RegistryCredentials>,
) -> Result<Vec<Written>, Error> {
    let mut written = Vec::new();
    let mut reasons = Vec::new();
    for entry in entries {
        let image = ImageReference {
            registry: entry.to.registry.clone(),
            repository: entry.to.repository.clone(),
            reference: entry.to.tag.clone().into(),
            tag: Some(entry.to.tag.clone()),
        };
        let allowed = credentials.map_or(Ok(()), |rules| rules.allow_reference(&image));
        reasons.extend(allowed.err().map(|error| error.to_string()));
        let before = match &entry.before {
            Before::Same => continue,
            Before::Absent => None,
            Before::Held(manifest) => Some(manifest.as_ref().clone()),
        };
        written.push(Written::new(client, &entry.to, &entry.digest, before));
    }
    match reasons.is_empty() {
        true => Ok(written),
        false => Err(Error::Refused(reasons)),
    }
}

/// The tags that are not as they were before, and why.
pub(super) fn left(undone: &[(FinalTag, PutBack)]) -> Vec<Left> {
    let left = undone
        .iter()
        .filter_map(|(tag, undone)| Some(Left { tag: tag.to_string(), reason: undone.left()? }));
    left.collect()
}
