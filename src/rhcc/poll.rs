use std::time::{Duration, Instant};

use super::{Error, Limits};
use crate::client::Repository;
use crate::oci::{Digest, Reference};

/// Nobody is asked more often.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

/// Is told while something is waited for.
pub trait Talk: Sync {
    /// One look was made.
    fn tick(&self, tick: &Tick<'_>);
}

/// A look that did not see what is waited for.
#[derive(Debug)]
pub struct Tick<'a> {
    /// What is waited for.
    pub waiting: &'a str,
    /// How long by now.
    pub elapsed: Duration,
    /// How long at most.
    pub limit: Duration,
    /// What was answered last.
    pub answer: &'a str,
}

/// How waiting ended.
pub(super) enum Seen {
    Served,
    /// Something else is served.
    Other(Digest),
    /// Time is over; what was answered last, and whether that was "nothing".
    Timeout {
        answer: String,
        absent: bool,
    },
}

/// Looks at the public registry until a tag is served as `wanted`. `stale` is what it may serve meanwhile.
/// Which status it has for what is not published is not known, so no answer but a digest ends it.
pub(super) async fn until_served(
    repository: &Repository,
    reference: &Reference,
    (wanted, stale): (&Digest, Option<&Digest>),
    limits: &Limits,
    talk: &dyn Talk,
) -> Result<Seen, Error> {
    let started = Instant::now();
    let waiting = format!("{}/{}:{reference}", repository.registry(), repository.name());
    loop {
        let (answer, absent) = match repository.head(reference).await {
            Ok(Some(head)) if head.digest == *wanted => return Ok(Seen::Served),
            Ok(Some(head)) if Some(&head.digest) != stale => return Ok(Seen::Other(head.digest)),
            Ok(Some(head)) => (format!("still {}", head.digest), false),
            Ok(None) => ("nothing there".to_owned(), true),
            Err(error) => (error.to_string(), false),
        };
        let elapsed = started.elapsed();
        talk.tick(&Tick { waiting: &waiting, elapsed, limit: limits.visible, answer: &answer });
        if elapsed >= limits.visible {
            return Ok(Seen::Timeout { answer, absent });
        }
        let left = limits.visible.saturating_sub(elapsed);
        tokio::time::sleep(limits.interval.max(SHORTEST_INTERVAL).min(left)).await;
    }
}
