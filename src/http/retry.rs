use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use jiff::Timestamp;

use super::settings::Counters;
use super::{Error, Settings};

/// The retries of one piece of work.
#[derive(Debug)]
pub struct Retries {
    pauses: ExponentialBackoff,
    longest: Duration,
    counters: Arc<Counters>,
}

impl Retries {
    pub(super) fn new(settings: &Settings, counters: Arc<Counters>) -> Self {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(settings.first_pause)
            .with_max_delay(settings.longest_pause)
            .with_max_times(settings.retries)
            .with_jitter()
            .build();
        Self { pauses, longest: settings.longest_pause, counters }
    }

    /// Waits as long as it takes until the work may be tried again: the next pause, or longer if
    /// the server asks for it.
    ///
    /// # Errors
    /// Gives `failed` back when trying again is of no use or has been done often enough, or when
    /// the server wants to be left alone for longer than the longest pause.
    pub async fn pause(&mut self, failed: Error) -> Result<(), Error> {
        match failed.is_transient() {
            true => self.pause_all_the_same(failed).await,
            false => Err(failed),
        }
    }

    /// As [`Retries::pause`], of what the caller knows to be worth another try.
    ///
    /// # Errors
    /// As there.
    pub async fn pause_all_the_same(&mut self, failed: Error) -> Result<(), Error> {
        let asked = failed.answer().and_then(|answer| answer.retry_after);
        let pause = match (self.pauses.next(), asked) {
            (None, _) => return Err(failed),
            (_, Some(asked)) if asked > self.longest => return Err(failed),
            (Some(pause), asked) => pause.max(asked.unwrap_or_default()),
        };
        tracing::warn!("{failed}; trying again in {:.1} s", pause.as_secs_f32());
        self.counters.retries.add(1);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Seconds, or an HTTP date (RFC 9110 §10.2.3).
#[must_use]
pub fn parse_retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(until(parse_date(value)?))
}

/// Seconds since 1970, as Docker Hub's API says in `X-Retry-After`.
pub(super) fn parse_retry_at(value: &str) -> Option<Duration> {
    Some(until(Timestamp::from_second(value.trim().parse().ok()?).ok()?))
}

/// An HTTP date (RFC 9110, 5.6.7).
pub(super) fn parse_date(value: &str) -> Option<Timestamp> {
    Some(jiff::fmt::rfc2822::parse(value.trim()).ok()?.timestamp())
}

fn until(moment: Timestamp) -> Duration {
    Duration::try_from(moment.duration_since(Timestamp::now())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_no_time_is_ignored() {
        for value in ["", "-1", "soon", "1.5", "99999999999999999999999"] {
            assert_eq!(parse_retry_after(value), None, "{value}");
        }
    }

    #[test]
    fn the_moment_that_docker_hub_names_is_waited_for() {
        for value in ["", "soon", "1.5", "99999999999999999999999", "9223372036854775807"] {
            assert_eq!(parse_retry_at(value), None, "{value}");
        }
        assert_eq!(parse_retry_at("784111777"), Some(Duration::ZERO));
        let soon = Timestamp::now().as_second() + 60;
        let wait = parse_retry_at(&format!(" {soon}")).unwrap();
        assert!(wait > Duration::from_secs(55) && wait <= Duration::from_secs(60));
    }

    #[test]
    fn both_spellings_are_understood() {
        assert_eq!(parse_retry_after(" 7 "), Some(Duration::from_secs(7)));
        let past = parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(past, Some(Duration::ZERO));
        let soon = Timestamp::now() + jiff::SignedDuration::from_secs(60);
        let text =
            jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&soon).unwrap();
        let wait = parse_retry_after(&text).unwrap();
        assert!(wait > Duration::from_secs(55) && wait <= Duration::from_secs(60));
    }
}
