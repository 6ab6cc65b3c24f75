use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::Error;
use crate::http::{Observer, parse_retry_after};

/// How another registry does: what it answered lately, and when it may be asked again.
#[derive(Debug)]
pub struct UpstreamHealth {
    place: String,
    /// `HOST:PORT`; answers of others – blob stores, token servers – say little about it.
    host: String,
    state: Mutex<State>,
}

/// What a registry says of how much may still be asked of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// How many requests of a kind it allows in a while.
    pub limit: Option<u64>,
    /// How many of them are left.
    pub remaining: Option<u64>,
    /// How long that while is, in seconds.
    pub window: Option<u64>,
}

/// How a registry does, as people and monitors read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpstreamReport {
    /// The namespace.
    pub name: String,
    /// Whether the last thing heard from it was an answer and no failure; true for one that has not
    /// been asked yet.
    pub is_well: bool,
    /// Requests it answered.
    pub answers: u64,
    /// Requests it answered with 429.
    pub rate_limited: u64,
    /// Requests it did not answer, or with a 5xx.
    pub failures: u64,
    /// Bytes of blobs and manifests fetched from it.
    pub bytes: u64,
    /// Answers from what was kept because it could not be asked.
    pub stale: u64,
    /// When it last answered, in seconds since 1970.
    pub last_answer: Option<u64>,
    /// When it last failed, in seconds since 1970.
    pub last_failure: Option<u64>,
    /// Why.
    pub last_reason: Option<String>,
    /// For how many seconds more it wants to be left alone.
    pub resting: Option<u64>,
    /// What it says of how much may be asked.
    pub rate_limit: Option<RateLimit>,
}

#[derive(Debug, Default)]
struct State {
    answers: u64,
    rate_limited: u64,
    failures: u64,
    bytes: u64,
    stale: u64,
    /// Failures since the last answer.
    in_a_row: u32,
    last_answer: Option<SystemTime>,
    last_failure: Option<(SystemTime, String)>,
    /// It said so.
    rest_until: Option<Instant>,
    /// It failed: only who has nothing else asks before.
    doubt_until: Option<Instant>,
    rate_limit: Option<RateLimit>,
}

impl UpstreamHealth {
    /// Nobody is believed who wants to be left alone for longer.
    pub(super) const LONGEST_REST: Duration = Duration::from_secs(24 * 60 * 60);

    pub(super) fn new(place: String, host: String) -> Self {
        Self { place, host, state: Mutex::default() }
    }

    /// Whether it may be asked by who has something older to go by, or nothing.
    pub(super) fn may_ask(&self, has_older: bool) -> Result<(), Error> {
        let now = Instant::now();
        let state = self.lock();
        let left =
            |until: Option<Instant>| until.and_then(|until| until.checked_duration_since(now));
        if let Some(wait) = left(state.rest_until) {
            return Err(Error::Resting { place: self.place.clone(), wait });
        }
        if has_older && left(state.doubt_until).is_some() {
            let reason = state.last_failure.as_ref().map(|(_, reason)| reason.clone());
            let reason = reason.unwrap_or_default();
            return Err(Error::Failed { place: self.place.clone(), reason });
        }
        Ok(())
    }

    pub(super) fn fetched(&self, bytes: u64) {
        self.lock().bytes += bytes;
    }

    /// What was kept was answered, because of this. Also where the token server is to blame, nobody waits
    /// for it again so soon.
    pub(super) fn served_stale(&self, reason: &Error) {
        let now = Instant::now();
        let mut state = self.lock();
        state.stale += 1;
        let pauses = [state.rest_until, state.doubt_until];
        if !pauses.into_iter().flatten().any(|until| now < until) {
            state.failed(reason.to_string());
        }
    }

    /// How it does.
    #[must_use]
    pub fn report(&self) -> UpstreamReport {
        let state = self.lock();
        let seconds = |moment: SystemTime| {
            moment.duration_since(SystemTime::UNIX_EPOCH).map(|since| since.as_secs()).ok()
        };
        let left = |until: Instant| until.checked_duration_since(Instant::now());
        UpstreamReport {
            name: self.place.clone(),
            is_well: state.in_a_row == 0,
            answers: state.answers,
            rate_limited: state.rate_limited,
            failures: state.failures,
            bytes: state.bytes,
            stale: state.stale,
            last_answer: state.last_answer.and_then(seconds),
            last_failure: state.last_failure.as_ref().and_then(|(moment, _)| seconds(*moment)),
            last_reason: state.last_failure.as_ref().map(|(_, reason)| reason.clone()),
            resting: state.rest_until.and_then(left).map(|left| left.as_secs().max(1)),
            rate_limit: state.rate_limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn failed(&mut self, reason: String) {
        self.failures += 1;
        self.in_a_row = self.in_a_row.saturating_add(1);
        // 1, 2, 4 … 32 seconds.
        let doubt = Duration::from_secs(1 << self.in_a_row.saturating_sub(1).min(5));
        self.doubt_until = Some(Instant::now() + doubt);
        self.last_failure = Some((SystemTime::now(), reason));
    }

    fn rest(&mut self, wait: Duration) {
        let until = Instant::now() + wait.min(UpstreamHealth::LONGEST_REST);
        self.rest_until = Some(self.rest_until.map_or(until, |before| before.max(until)));
    }
}

impl Observer for UpstreamHealth {
    fn answered(&self, host: &str, status: StatusCode, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut state = self.lock();
        let asks_for_rest = matches!(status.as_u16(), 429 | 503);
        if let Some(wait) =
            text("retry-after").filter(|_| asks_for_rest).and_then(parse_retry_after)
        {
            state.rest(wait);
        }
        if host != self.host {
            return;
        }
        if let Some(limit) = RateLimit::read(&text) {
            state.rate_limit = Some(limit);
            let reset = text("ratelimit-reset").and_then(leading_number);
            if let (Some(0), Some(seconds)) = (limit.remaining, reset) {
                state.rest(Duration::from_secs(seconds));
            }
        }
        match status.as_u16() {
            429 => {
                state.rate_limited += 1;
                state.failed("it answered 429".to_owned());
            }
            408 | 500..=599 => state.failed(format!("it answered {}", status.as_u16())),
            _ => {
                state.answers += 1;
                state.in_a_row = 0;
                state.doubt_until = None;
                state.last_answer = Some(SystemTime::now());
            }
        }
    }

    fn failed(&self, host: &str, error: &crate::http::Error) {
        if host == self.host {
            self.lock().failed(error.to_string());
        }
    }
}

impl RateLimit {
    /// `RateLimit-Limit: 100;w=21600` and `RateLimit-Remaining`, as Docker Hub writes them and the
    /// drafts of the HTTP working group had it.
    fn read<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let (limit, remaining) = (text("ratelimit-limit"), text("ratelimit-remaining"));
        let window = limit.or(remaining).and_then(|text| text.split_once("w="));
        let read = Self {
            limit: limit.and_then(leading_number),
            remaining: remaining.and_then(leading_number),
            window: window.and_then(|(_, seconds)| leading_number(seconds)),
        };
        (read != Self::default()).then_some(read)
    }
}

fn leading_number(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(health: &UpstreamHealth, status: u16, headers: &[(&'static str, &str)]) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        health.answered("h:443", StatusCode::from_u16(status).unwrap(), &map);
    }

    fn health() -> UpstreamHealth {
        UpstreamHealth::new("docker.io".to_owned(), "h:443".to_owned())
    }

    #[test]
    fn who_wants_to_be_left_alone_is_not_asked() {
        let health = health();
        answer(&health, 429, &[("retry-after", "100")]);
        for has_older in [true, false] {
            let refused = health.may_ask(has_older).unwrap_err();
            assert!(matches!(refused, Error::Resting { wait, .. } if wait.as_secs() > 90));
        }
        assert_eq!(health.report().rate_limited, 1);
        answer(&health, 200, &[]);
        assert!(health.may_ask(false).is_err(), "an answer that was under way changes nothing");
    }

    #[test]
    fn who_failed_is_asked_only_by_those_who_have_nothing() {
        let health = health();
        answer(&health, 500, &[]);
        assert!(health.may_ask(true).is_err());
        assert!(health.may_ask(false).is_ok());
        assert!(!health.report().is_well);
        answer(&health, 404, &[]);
        assert!(health.may_ask(true).is_ok());
        assert!(health.report().is_well);
    }

    #[test]
    fn a_limit_that_is_used_up_is_a_rest_where_its_end_is_said() {
        let health = health();
        answer(
            &health,
            200,
            &[("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "0;w=21600")],
        );
        let limit = health.report().rate_limit.unwrap();
        assert_eq!((limit.limit, limit.remaining, limit.window), (Some(100), Some(0), Some(21600)));
        assert!(health.may_ask(false).is_ok());
        answer(&health, 200, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "30")]);
        assert!(health.may_ask(false).is_err());
    }

    #[test]
    fn nonsense_in_headers_is_passed_over() {
        let health = health();
        for text in ["", ";", "w=", "-1", "99999999999999999999999", "a;w=b"] {
            answer(&health, 200, &[("ratelimit-limit", text), ("retry-after", text)]);
        }
        assert!(health.may_ask(true).is_ok());
        assert_eq!(health.report().answers, 6);
    }
}
