use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::Label;

/// What an artifact is of, as far as Zuul says it: in the artifact when it hands it to a job, beside all of
/// a build's in its API. What is none of this is left out, since it is for nothing but this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The project.
    #[serde(deserialize_with = "lenient")]
    pub project: Option<Label>,
    /// The branch of the project.
    #[serde(deserialize_with = "lenient")]
    pub branch: Option<Label>,
    /// The change, by its number.
    #[serde(deserialize_with = "lenient")]
    pub change: Option<Label>,
    /// The patch set of the change.
    #[serde(deserialize_with = "lenient")]
    pub patchset: Option<Label>,
    /// Of items without a change: the commit that the branch was moved to.
    #[serde(deserialize_with = "lenient")]
    pub newrev: Option<Label>,
    /// When what was built entered its pipeline.
    #[serde(rename = "event_timestamp", deserialize_with = "moment")]
    pub entered: Option<Timestamp>,
    /// When the build started.
    #[serde(rename = "start_time", deserialize_with = "moment")]
    pub started: Option<Timestamp>,
    /// When the build ended.
    #[serde(rename = "end_time", deserialize_with = "moment")]
    pub ended: Option<Timestamp>,
}

impl Provenance {
    /// Whether this is of another change of the same branch that merged after `other`, or of a later patch
    /// set of the same change, as far as that is known. Changes merge in the order in which they enter their
    /// pipeline, though the build of a later one may end first; where the former is not known, the end has to
    /// do. Of those that entered in one second, that one merged later whose build both started and ended later.
    #[must_use]
    pub fn merged_after(&self, other: &Self) -> bool {
        let both_and = |one: &Option<Label>, two: &Option<Label>, equal: bool| {
            one.is_some() && two.is_some() && (one == two) == equal
        };
        let same_branch =
            self.project == other.project && both_and(&self.branch, &other.branch, true);
        let another = both_and(&self.change, &other.change, false)
            || (both_and(&self.change, &other.change, true)
                && both_and(&self.patchset, &other.patchset, false))
            || (self.change.is_none()
                && other.change.is_none()
                && both_and(&self.newrev, &other.newrev, false));
        let after = |one: Option<Timestamp>, two| one.zip(two).is_some_and(|(one, two)| one > two);
        let later = match self.entered.zip(other.entered) {
            Some((own, other)) if own != other => own > other,
            // Zuul counts seconds, and changes that lie on each other enter by one event.
            Some(_) => after(self.started, other.started) && after(self.ended, other.ended),
            None => after(self.ended, other.ended),
        };
        same_branch && another && later
    }

    /// What it is of, for people, as Zuul's clients spell it.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.change, &self.patchset, &self.newrev) {
            (Some(change), Some(patchset), _) => format!("change {change},{patchset}"),
            (Some(change), None, _) => format!("change {change}"),
            (None, _, Some(newrev)) => format!("commit {newrev}"),
            (None, _, None) => "an unknown change".to_owned(),
        }
    }
}

/// What the API says of a build, as it would stand in its artifacts.
pub(super) fn of_build(build: &Map<String, Value>) -> Map<String, Value> {
    // Before Zuul 11 it stood beside the build's own.
    let item = build.get("ref").and_then(Value::as_object).unwrap_or(build);
    let of = |object: &Map<String, Value>, keys: &[&str]| -> Vec<(String, Value)> {
        let found =
            keys.iter().filter_map(|key| Some(((*key).to_owned(), object.get(*key)?.clone())));
        found.collect()
    };
    let mut said = of(item, &["project", "branch", "change", "patchset", "newrev"]);
    said.extend(of(build, &["event_timestamp", "start_time", "end_time"]));
    said.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

/// A name Zuul gives, as text or number.
pub(super) fn lenient<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Label>, D::Error> {
    let text = match Value::deserialize(from)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return Ok(None),
    };
    Ok(text.parse().ok())
}

/// Zuul writes moments in UTC and does not say so.
fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let value = Value::deserialize(from)?;
    let moment = value.as_str().and_then(|text| text.parse::<DateTime>().ok());
    Ok(moment.and_then(|moment| Offset::UTC.to_timestamp(moment).ok()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn of(value: Value) -> Provenance {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_not_known_to_be_later_is_not() {
        let own = of(json!({"project": "p", "branch": "master", "change": 1, "patchset": "1",
            "event_timestamp": "2026-01-01T10:00:00", "start_time": "2026-01-01T10:10:00",
            "end_time": "2026-01-01T11:00:00"}));
        for other in [
            json!({}),
            json!({"branch": "master", "change": "2", "event_timestamp": "2026-01-01T10:00:01"}),
            json!({"project": "p", "change": "2", "event_timestamp": "2026-01-01T10:00:01"}),
            json!({"project": "p", "branch": "stable", "change": "2",
                "event_timestamp": "2026-01-01T10:00:01"}),
            json!({"project": "q", "branch": "master", "change": "2",
                "event_timestamp": "2026-01-01T10:00:01"}),
            json!({"project": "p", "branch": "master", "change": "1",
                "event_timestamp": "2026-01-01T10:00:01"}),
            json!({"project": "p", "branch": "master", "change": "1", "patchset": "1",
                "event_timestamp": "2026-01-01T10:00:01"}),
            json!({"project": "p", "branch": "master", "change": "1", "patchset": "2",
                "event_timestamp": "2026-01-01T09:00:00"}),
            json!({"project": "p", "branch": "master", "change": "2"}),
            json!({"project": "p", "branch": "master", "change": "2", "end_time": "soon"}),
            json!({"project": "p", "branch": "master", "change": "2",
                "event_timestamp": "2026-01-01T10:00:00"}),
            // It entered in the same second, and its build ended first.
            json!({"project": "p", "branch": "master", "change": "2", "event_timestamp": "2026-01-01T10:00:00",
                "start_time": "2026-01-01T10:20:00", "end_time": "2026-01-01T10:50:00"}),
            // It entered before, and its build ended later.
            json!({"project": "p", "branch": "master", "change": "2",
                "event_timestamp": "2026-01-01T09:00:00", "end_time": "2026-01-01T12:00:00"}),
            json!({"project": ["p"], "branch": {}, "change": [], "event_timestamp": 5}),
        ] {
            assert!(!of(other.clone()).merged_after(&own), "{other}");
        }
    }

    #[test]
    fn what_entered_or_else_ended_later_merged_later() {
        let own = of(json!({"project": "p", "branch": "master", "change": "1", "patchset": "1",
            "event_timestamp": "2026-01-01T10:00:00", "start_time": "2026-01-01T10:10:00",
            "end_time": "2026-01-01T11:00:00"}));
        for later in [
            json!({"project": "p", "branch": "master", "change": 2,
                "event_timestamp": "2026-01-01T10:00:01", "end_time": "2026-01-01T10:30:00"}),
            json!({"project": "p", "branch": "master", "change": 2, "end_time": "2026-01-01T11:00:01"}),
            json!({"project": "p", "branch": "master", "change": "1", "patchset": 2,
                "event_timestamp": "2026-01-01T10:00:01"}),
            // By the same event.
            json!({"project": "p", "branch": "master", "change": 2, "event_timestamp": "2026-01-01T10:00:00",
                "start_time": "2026-01-01T10:20:00", "end_time": "2026-01-01T11:30:00"}),
        ] {
            assert!(of(later.clone()).merged_after(&own), "{later}");
            assert!(!own.merged_after(&of(later.clone())), "{later}");
        }
        let of_a_branch = |rev: &str, time: &str| {
            of(json!({"project": "p", "branch": "master", "newrev": rev, "event_timestamp": time}))
        };
        let (old, new) =
            (of_a_branch("a", "2026-01-01T10:00:00"), of_a_branch("b", "2026-01-01T10:00:01"));
        assert!(new.merged_after(&old) && !old.merged_after(&new));
        assert!(!of_a_branch("a", "2026-01-01T10:00:02").merged_after(&old));
    }
}
