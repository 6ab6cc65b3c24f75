use std::time::{Duration, Instant};

use super::{Certifier, State};
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
    /// How far the certification is.
    pub state: State,
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
    certifier: &Certifier<'_>,
    state: State,
    repository: &Repository,
    reference: &Reference,
    (wanted, stale): (&Digest, Option<&Digest>),
) -> Seen {
    let waiting = format!("{}/{}:{reference}", repository.registry(), repository.name());
    let clock = Clock::start(certifier.limits.visible);
    loop {
        let (answer, absent) = match repository.head(reference).await {
            Ok(Some(head)) if head.digest == *wanted => return Seen::Served,
            Ok(Some(head)) if Some(&head.digest) != stale => return Seen::Other(head.digest),
            Ok(Some(head)) => (format!("still {}", head.digest), false),
            Ok(None) => ("nothing there".to_owned(), true),
            Err(error) => (error.to_string(), false),
        };
        if !clock.tick(certifier, state, &waiting, &answer).await {
            return Seen::Timeout { answer, absent };
        }
    }
}

/// How long something is waited for.
pub(super) struct Clock {
    started: Instant,
    limit: Duration,
}

impl Clock {
    pub(super) fn start(limit: Duration) -> Self {
        Self { started: Instant::now(), limit }
    }

    /// Says what was answered, and waits until the next look. False when time is over.
    pub(super) async fn tick(
        &self,
        certifier: &Certifier<'_>,
        state: State,
        waiting: &str,
        answer: &str,
    ) -> bool {
        let left = self.say(certifier.talk, state, waiting, answer);
        let interval = certifier.limits.interval.max(SHORTEST_INTERVAL);
        tokio::time::sleep(interval.min(left)).await;
        !left.is_zero()
    }

    /// Says what was answered, and returns how much time is left.
    pub(super) fn say(
        &self,
        talk: &dyn Talk,
        state: State,
        waiting: &str,
        answer: &str,
    ) -> Duration {
        let elapsed = self.started.elapsed();
        talk.tick(&Tick { state, waiting, elapsed, limit: self.limit, answer });
        self.limit.saturating_sub(elapsed)
    }

    /// How much time is left.
    pub(super) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.started.elapsed())
    }
}
