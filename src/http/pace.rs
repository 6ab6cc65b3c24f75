use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many requests a second one may send to a host.
#[derive(Debug, Clone, Copy, Default)]
pub enum Rate {
    /// As many as there are; a 429 is answered by the one request's own pause.
    #[default]
    Free,
    /// So many to every host, or without a number 50 to Google's, whose quota is per user, and to others as
    /// many as they take. Who answers 429 is asked more slowly for a while.
    Paced(Option<u32>),
}

/// The paces towards one host, by who is asking.
#[derive(Debug)]
pub(super) struct Paces {
    rate: Rate,
    host: String,
    by_identity: Mutex<HashMap<Option<Arc<str>>, Arc<Pace>>>,
}

/// One bucket of tokens.
#[derive(Debug)]
pub(super) struct Pace {
    /// Between two requests, when nobody complains.
    usual: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the next request would be sent if they were spread evenly.
    next: Instant,
    interval: Duration,
    /// No request is sent before.
    paused: Instant,
    complained: Option<Instant>,
}

/// What Artifact Registry grants a user is 5,000 a minute.
const GOOGLES_RATE: u32 = 50;
/// How many requests may be sent at once after a time without any.
const BURST: u32 = 5;
/// What the first complaint of a host without a rate makes of it.
const FIRST_INTERVAL: Duration = Duration::from_millis(20);
const SLOWEST: Duration = Duration::from_secs(2);
/// How long a host that complains is left alone where it does not say.
const PAUSE: Duration = Duration::from_secs(5);
/// Complaints about requests that were on their way already are one complaint.
const ONE_COMPLAINT: Duration = Duration::from_secs(5);

impl Paces {
    pub(super) fn new(rate: Rate, host: &str) -> Self {
        Self { rate, host: host.to_owned(), by_identity: Mutex::default() }
    }

    /// The pace for somebody; `None` where there is none to keep.
    pub(super) fn of(&self, identity: Option<&Arc<str>>) -> Option<Arc<Pace>> {
        let Rate::Paced(rate) = self.rate else { return None };
        let rate = rate.or_else(|| is_googles(&self.host).then_some(GOOGLES_RATE));
        let mut all = lock(&self.by_identity);
        let pace = all.entry(identity.cloned()).or_insert_with(|| Arc::new(Pace::new(rate)));
        Some(Arc::clone(pace))
    }
}

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        let usual = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1));
        let now = Instant::now();
        let state = State { next: now, interval: usual, paused: now, complained: None };
        Self { usual, state: Mutex::new(state) }
    }

    /// Returns when the next request may be sent.
    pub(super) async fn wait(&self) {
        let at = self.turn(Instant::now());
        tokio::time::sleep_until(at).await;
    }

    fn turn(&self, now: Instant) -> Instant {
        let mut state = lock(&self.state);
        let interval = state.interval;
        let early = state.next.checked_sub(interval * BURST).unwrap_or(now);
        let at = now.max(early).max(state.paused);
        state.next = state.next.max(at) + interval;
        at
    }

    /// The host answered.
    pub(super) fn answered(&self) {
        let mut state = lock(&self.state);
        if state.interval > self.usual {
            let less = state.interval.mul_f64(0.98);
            state.interval =
                if less < Duration::from_millis(1) { self.usual } else { less.max(self.usual) };
        }
    }

    /// The host answered 429.
    pub(super) fn complained(&self, retry_after: Option<Duration>) {
        self.slow_down(Instant::now(), retry_after);
    }

    fn slow_down(&self, now: Instant, retry_after: Option<Duration>) {
        let mut state = lock(&self.state);
        state.paused =
            state.paused.max(now + retry_after.unwrap_or(PAUSE).min(Duration::from_secs(60)));
        if state.complained.is_none_or(|last| now.duration_since(last) >= ONE_COMPLAINT) {
            state.complained = Some(now);
            state.interval = (state.interval * 2).clamp(FIRST_INTERVAL, SLOWEST);
        }
    }
}

/// Google Container Registry and Artifact Registry, by `HOST:PORT`.
fn is_googles(host: &str) -> bool {
    let host = host.split(':').next().unwrap_or(host);
    host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with(".pkg.dev")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_more_is_sent_in_a_second_than_the_rate_and_a_burst() {
        let pace = Pace::new(Some(10));
        let started = Instant::now();
        let last = (0..35).map(|_| pace.turn(started)).last().unwrap();
        let seconds = last.duration_since(started).as_secs_f64();
        assert!((2.8..3.1).contains(&seconds), "{seconds}");
    }

    #[test]
    fn who_complains_is_left_alone_and_then_asked_more_slowly() {
        let pace = Pace::new(None);
        let now = Instant::now();
        pace.slow_down(now, Some(Duration::from_secs(7)));
        pace.slow_down(now, None);
        assert_eq!(pace.turn(now).duration_since(now), Duration::from_secs(7));
        let slow = lock(&pace.state).interval;
        assert_eq!(slow, FIRST_INTERVAL, "one complaint, however many answers tell it");
        for _ in 0..500 {
            pace.answered();
        }
        assert_eq!(lock(&pace.state).interval, Duration::ZERO);
    }

    #[test]
    fn every_identity_has_a_budget_of_its_own_and_google_has_one_by_default() {
        let paces = Paces::new(Rate::Paced(None), "us-docker.pkg.dev:443");
        let (a, b) = (paces.of(Some(&"a".into())).unwrap(), paces.of(Some(&"b".into())).unwrap());
        assert!(!Arc::ptr_eq(&a, &b));
        assert!(Arc::ptr_eq(&a, &paces.of(Some(&"a".into())).unwrap()));
        assert_eq!(a.usual, Duration::from_millis(20));
        assert!(Paces::new(Rate::Free, "gcr.io:443").of(None).is_none());
    }
}
