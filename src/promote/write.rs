use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

use super::record::{Before, Ending, Record};
use super::undo::{self, PutBack, Written};
use super::verify::{Change, Verified};
use super::{Error, Interrupt, settle};
use crate::client::{self, TagMove};
use crate::oci::{Digest, Manifest};
use crate::removal::TagRemover;

/// How long an interruption waits for the answers to writes that are on their way.
const GRACE: Duration = Duration::from_secs(10);

/// Phase two.
pub(super) struct Phase<'a> {
    pub(super) verified: &'a [Verified<'a>],
    /// Whether what an earlier run wrote belongs to it, too.
    pub(super) unfinished: bool,
    pub(super) remover: &'a TagRemover,
    pub(super) parallel: usize,
}

/// A tag to write.
struct Writing<'a> {
    verified: &'a Verified<'a>,
    change: &'a Change,
    /// Whether it may have been written.
    tried: AtomicBool,
}

/// A tag that was not written, and why.
struct Failure {
    item: String,
    cause: Cause,
}

enum Cause {
    /// The tag holds something else than when it was verified.
    Moved { seen: Option<Digest>, held: Option<Digest> },
    /// The registry failed; the write may have been done all the same.
    Client(client::Error),
    /// Somebody wants it to end.
    Interrupted,
}

impl Phase<'_> {
    /// Writes every tag, many at once. On a failure, or when it is interrupted, no further one is begun, and
    /// those written are put back.
    pub(super) async fn run(
        &self,
        mut record: Option<&mut Record>,
        interrupt: &mut Interrupt,
    ) -> Result<(), Error> {
        if let Some(record) = &mut record {
            record.begin(self.verified).await?;
        }
        let tags: Vec<Writing<'_>> = self.verified.iter().filter_map(Writing::new).collect();
        let failures = self.write(&tags, interrupt).await;
        let Some(first) = failures.into_iter().next() else {
            if let Some(record) = record {
                // It is done; that the record does not say so is put right by whoever opens it next.
                let ended = record.end(Ending::Promoted, Vec::new()).await;
                ended.unwrap_or_else(|error| tracing::warn!("{error}"));
            }
            return Ok(());
        };
        Err(self.undo(first, &tags, record, interrupt).await)
    }

    async fn write(&self, tags: &[Writing<'_>], interrupt: &mut Interrupt) -> Vec<Failure> {
        let stop = AtomicBool::new(false);
        let writes = stream::iter(tags).map(|tag| tag.write(&stop));
        let writes = writes.buffer_unordered(self.parallel.max(1));
        let mut failures = pin!(writes.filter_map(async |failed| failed).collect::<Vec<Failure>>());
        tokio::select! {
            biased;
            () = interrupt.next() => {
                stop.store(true, Ordering::Relaxed);
                // What becomes of those that are not answered by then is looked at.
                drop(tokio::time::timeout(GRACE, failures).await);
                vec![Failure { item: "the promotion".to_owned(), cause: Cause::Interrupted }]
            }
            failures = &mut failures => failures,
        }
    }

    /// Puts back what was written, and says so. With nothing written the cause alone is the error.
    async fn undo(
        &self,
        failure: Failure,
        tags: &[Writing<'_>],
        mut record: Option<&mut Record>,
        interrupt: &mut Interrupt,
    ) -> Error {
        let tried = tags.iter().filter(|tag| tag.tried.load(Ordering::Relaxed));
        let earlier = self.verified.iter().filter(|_| self.unfinished).filter_map(earlier);
        let written: Vec<Written> = earlier.chain(tried.map(Writing::written)).collect();
        let undoing = undo::all(written, self.remover, self.parallel);
        let undone = tokio::select! {
            undone = undoing => undone,
            () = interrupt.next() => {
                let undone = match record {
                    Some(record) => format!(
                        "interrupted again before all was put back; the next run with {} does it",
                        record.name()
                    ),
                    None => "NOT put back: interrupted again meanwhile".to_owned(),
                };
                return failure.broken(undone);
            }
        };
        let left = settle::left(&undone);
        let count = undone.iter().filter(|(_, undone)| *undone == PutBack::Done).count();
        let text: Vec<String> =
            left.iter().map(|left| format!("{} ({})", left.tag, left.reason)).collect();
        let mut recorded = String::new();
        if let Some(record) = &mut record {
            if undone.iter().any(|(_, undone)| undone.is_open()) {
                recorded = format!("; the next run with {} tries again", record.name());
            } else if let Err(error) = record.end(Ending::Undone, left).await {
                recorded = format!("; {error}");
            }
        }
        match (text.is_empty(), count, failure) {
            (true, 0, Failure { cause: Cause::Client(error), .. }) => error.into(),
            (true, 0, failure) => failure.broken("nothing had been written before".to_owned()),
            (true, count, failure) => {
                failure.broken(format!("what had been written was put back (tags: {count})"))
            }
            (false, _, failure) => {
                failure.broken(format!("NOT put back: {}{recorded}", text.join(", ")))
            }
        }
    }
}

/// What an earlier run wrote.
fn earlier(verified: &Verified<'_>) -> Option<Written> {
    let before = match verified.earlier.as_ref()? {
        Before::Same => return None,
        Before::Absent => None,
        Before::Held(manifest) => Some(manifest.as_ref().clone()),
    };
    Some(verified.written(before))
}

impl Verified<'_> {
    fn written(&self, before: Option<Manifest>) -> Written {
        Written {
            tag: self.promotion.to.clone(),
            repository: self.repository.clone(),
            digest: self.digest.clone(),
            before,
        }
    }
}

impl<'a> Writing<'a> {
    fn new(verified: &'a Verified<'a>) -> Option<Self> {
        let change = verified.change.as_ref()?;
        Some(Self { verified, change, tried: AtomicBool::new(false) })
    }

    /// Why it was not written, unless it was or another one failed before.
    async fn write(&self, stop: &AtomicBool) -> Option<Failure> {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let Self { verified, change, tried } = self;
        tried.store(true, Ordering::Relaxed);
        let tag = &verified.promotion.to.tag;
        let cause = match verified.repository.move_tag(tag, &change.seen, &change.manifest).await {
            Ok(TagMove::Done) => return None,
            Ok(TagMove::There) => {
                tried.store(false, Ordering::Relaxed);
                return None;
            }
            Ok(TagMove::Meanwhile(held)) => {
                // What stands there now is not ours, whatever was tried before.
                tried.store(false, Ordering::Relaxed);
                Cause::Moved { seen: change.seen.held().cloned(), held }
            }
            Ok(TagMove::Barred(error)) => {
                tried.store(false, Ordering::Relaxed);
                Cause::Client(error)
            }
            Err(error) => Cause::Client(error),
        };
        stop.store(true, Ordering::Relaxed);
        let item = format!("{}:{tag}", verified.promotion.repository);
        Some(Failure { item, cause })
    }

    fn written(&self) -> Written {
        self.verified.written(self.change.before.clone())
    }
}

impl Failure {
    fn broken(self, undone: String) -> Error {
        let name = |digest: Option<Digest>| digest.map_or("nothing".to_owned(), |d| d.to_string());
        let cause = match self.cause {
            Cause::Moved { seen, held } => format!(
                "somebody else moved the tag meanwhile: it held {}, now {}",
                name(seen),
                name(held)
            ),
            Cause::Client(error) => error.to_string(),
            Cause::Interrupted => "interrupted".to_owned(),
        };
        Error::Broken { item: self.item, cause, undone }
    }
}
