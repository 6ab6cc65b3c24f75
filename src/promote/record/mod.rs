//! What undoes a promotion, on the disk before the first write: JSON Lines that are only ever added to.
//!
//! A run adds a header with the number of its tags, one line for each tag with what it held before, and
//! writes only when all that is on the disk; at the end it adds the outcome. What counts is the last run
//! whose lines are all there; without an outcome it was not finished. Lines that are cut off belong to a
//! run that wrote no tag.

mod file;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod lines;

use std::path::Path;

use jiff::Timestamp;

use self::file::RecordFile;
pub use self::file::{Doing, RecordError};
pub(super) use self::lines::{Batch, Before, Ending, Entry, Left};
use self::lines::{Header, Line, Outcome, whole_lines};
use super::verify::Verified;

/// An open record; nobody else writes to it meanwhile.
pub(super) struct Record {
    file: RecordFile,
    batch: Option<Batch>,
}

impl Record {
    /// Opens what is there, or makes it. A dry run only reads.
    pub(super) async fn open(
        path: Option<&Path>,
        dry_run: bool,
    ) -> Result<Option<Self>, RecordError> {
        let Some(path) = path else { return Ok(None) };
        match dry_run {
            true if !path.exists() => Ok(None),
            true => Self::existing(path, true).await.map(Some),
            false => Self::of(RecordFile::open(path, true).await?, true).await.map(Some),
        }
    }

    /// Opens what has to be there.
    pub(super) async fn existing(path: &Path, dry_run: bool) -> Result<Self, RecordError> {
        match dry_run {
            true => Self::of(RecordFile::look(path).await?, false).await,
            false => Self::of(RecordFile::open(path, false).await?, true).await,
        }
    }

    async fn of((file, bytes): (RecordFile, Vec<u8>), writable: bool) -> Result<Self, RecordError> {
        let (lines, rest) = whole_lines(&bytes).map_err(|reason| file.invalid(reason))?;
        let batch = Batch::last_of(lines).map_err(|reason| file.invalid(reason))?;
        if writable && !rest.is_empty() {
            file.cut_to(lines.len()).await?;
        }
        Ok(Self { file, batch })
    }

    /// The last run.
    pub(super) fn batch(&self) -> Option<&Batch> {
        self.batch.as_ref()
    }

    /// The file, for messages.
    pub(super) fn name(&self) -> String {
        self.file.name()
    }

    /// Refuses a promotion that would take the place of another one, which could not be rolled back then.
    pub(super) fn admit(&self, verified: &[Verified<'_>]) -> Result<(), RecordError> {
        let finished = |batch: &&Batch| {
            batch.outcome.as_ref().is_some_and(|outcome| outcome.result == Ending::Promoted)
        };
        match self.batch.as_ref().filter(finished) {
            Some(last) if writes(verified) && !last.is_of(verified) => Err(self.file.finished()),
            _ => Ok(()),
        }
    }

    /// Puts on the disk what undoes the promotion that is about to be written. Nothing is added where
    /// nothing is to be written, or no more than was begun before.
    pub(super) async fn begin(&mut self, verified: &[Verified<'_>]) -> Result<(), RecordError> {
        let batch = Batch { entries: verified.iter().map(Entry::from).collect(), outcome: None };
        if let Some(last) = &self.batch
            && !writes(verified)
            && (last.outcome.is_some() || last.is_of(verified))
        {
            return Ok(());
        }
        let header = Header::new(batch.entries.len());
        let lines = batch.entries.iter().cloned().map(|entry| Line::Tag(Box::new(entry)));
        self.file.append(std::iter::once(Line::Promotion(header)).chain(lines)).await?;
        self.batch = Some(batch);
        Ok(())
    }

    /// Adds the outcome of the last run, unless it has one.
    pub(super) async fn end(&mut self, result: Ending, left: Vec<Left>) -> Result<(), RecordError> {
        let Some(batch) = self.batch.as_mut().filter(|batch| batch.outcome.is_none()) else {
            return Ok(());
        };
        let outcome = Outcome { result, at: Timestamp::now().to_string(), left };
        self.file.append([Line::Outcome(outcome.clone())]).await?;
        batch.outcome = Some(outcome);
        Ok(())
    }

    /// Adds that what was finished was taken back.
    pub(super) async fn rolled_back(&mut self, left: Vec<Left>) -> Result<(), RecordError> {
        if let Some(batch) = &mut self.batch {
            batch.outcome = None;
        }
        self.end(Ending::RolledBack, left).await
    }
}

fn writes(verified: &[Verified<'_>]) -> bool {
    verified.iter().any(|verified| verified.change.is_some())
}
