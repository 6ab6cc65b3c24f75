use http::Method;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::api::Api;
use super::{ApiUrl, Error};
use crate::http::{Http, Request};

/// A page of fifty builds with long artifact lists is far below.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A tenant's part of Zuul's web API: what was built.
#[derive(Debug, Clone)]
pub struct Zuul {
    api: Api,
}

/// Which builds are wanted: the query of `GET <tenant>/builds`. A filter named more than once takes
/// any of its values, filters of different names must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildQuery(Vec<(String, String)>);

/// What builds are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildFilter {
    /// `zuul.project.name`; `*` stands for anything.
    Project,
    /// `zuul.pipeline`; `*` stands for anything.
    Pipeline,
    /// `zuul.change`
    Change,
    /// `zuul.patchset`
    Patchset,
    /// `zuul.branch`; `*` stands for anything.
    Branch,
    /// `zuul.ref`
    Ref,
    /// `zuul.newrev`
    Newrev,
    /// `zuul.job`; `*` stands for anything.
    JobName,
    /// The build's own id.
    Uuid,
    /// `SUCCESS`, `FAILURE` …
    Result,
}

/// One build, in the words of Zuul. What Zuul does not say is `None`, as the result of a running one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Its id; a skipped build has none.
    pub uuid: Option<String>,
    /// The job's name.
    pub job_name: Option<String>,
    /// `SUCCESS`, `FAILURE` …
    pub result: Option<String>,
    /// When it started.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// When what it was run for entered the pipeline.
    pub event_timestamp: Option<Timestamp>,
    /// The pipeline it ran in.
    pub pipeline: Option<String>,
    /// The buildset it is of, by its id.
    pub buildset: Option<String>,
    /// What it was run for.
    pub reference: BuildRef,
    /// What it returned, as `zuul_return` was given it.
    pub artifacts: Vec<Value>,
}

/// What a build was run for: a change, or a branch or tag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BuildRef {
    /// `zuul.project.name`
    pub project: Option<String>,
    /// `zuul.branch`
    pub branch: Option<String>,
    /// `zuul.change`
    #[serde(deserialize_with = "text_or_number")]
    pub change: Option<String>,
    /// `zuul.patchset`
    #[serde(deserialize_with = "text_or_number")]
    pub patchset: Option<String>,
    /// `zuul.ref`
    #[serde(rename = "ref")]
    pub name: Option<String>,
    /// The commit a branch or tag was moved to.
    pub newrev: Option<String>,
}

impl Zuul {
    /// The API of a tenant, e.g. `https://zuul.example.org/api/tenant/example`. Nothing is sent.
    ///
    /// # Errors
    /// A URL without TLS whose host was not named to be so.
    pub fn new(http: &Http, tenant: &ApiUrl) -> Result<Self, Error> {
        Ok(Self { api: Api::new(http, tenant)? })
    }

    /// The builds that `query` chooses, newest first; at most fifty, unless it says otherwise.
    ///
    /// # Errors
    /// No answer, a refusal, or an answer that is no list of builds.
    pub async fn builds(&self, query: &BuildQuery) -> Result<Vec<Build>, Error> {
        let mut url = self.api.url(["builds"]);
        url.query_pairs_mut().extend_pairs(&query.0);
        let doing = format!("asking Zuul for {url}");
        let response = self.api.send(&doing, Request::new(Method::GET, url)).await?;
        let builds: Vec<Entry> = self.api.document(&doing, response, MAX_ANSWER_BYTES).await?;
        Ok(builds.into_iter().map(Build::from).collect())
    }
}

impl BuildQuery {
    /// Any build of the tenant.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As it stands in a URL, `change=1001&pipeline=gate`.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let query = query.trim().trim_start_matches('?');
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Only those with this value.
    #[must_use]
    pub fn by(self, filter: BuildFilter, value: &str) -> Self {
        self.with(filter.key(), value)
    }

    /// At most so many.
    #[must_use]
    pub fn limit(self, count: usize) -> Self {
        self.with("limit", &count.to_string())
    }

    /// Without the so many newest.
    #[must_use]
    pub fn skip(self, count: usize) -> Self {
        self.with("skip", &count.to_string())
    }

    fn with(mut self, key: &str, value: &str) -> Self {
        self.0.push((key.to_owned(), value.to_owned()));
        self
    }
}

impl BuildFilter {
    fn key(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Pipeline => "pipeline",
            Self::Change => "change",
            Self::Patchset => "patchset",
            Self::Branch => "branch",
            Self::Ref => "ref",
            Self::Newrev => "newrev",
            Self::JobName => "job_name",
            Self::Uuid => "uuid",
            Self::Result => "result",
        }
    }
}

impl Build {
    /// Whether it ended as it should.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.result.as_deref() == Some("SUCCESS")
    }
}

/// A build as Zuul writes it: what it was run for is an object in `ref`, before Zuul 11 it stood
/// beside it and `ref` was a name.
#[derive(Deserialize)]
struct Entry {
    uuid: Option<String>,
    job_name: Option<String>,
    result: Option<String>,
    #[serde(default, deserialize_with = "moment")]
    start_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    end_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "moment")]
    event_timestamp: Option<Timestamp>,
    pipeline: Option<String>,
    buildset: Option<Buildset>,
    #[serde(rename = "ref")]
    reference: Option<NameOrRef>,
    project: Option<String>,
    branch: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    change: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    patchset: Option<String>,
    newrev: Option<String>,
    artifacts: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct Buildset {
    uuid: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrRef {
    Name(String),
    Ref(BuildRef),
}

impl From<Entry> for Build {
    fn from(entry: Entry) -> Self {
        let Entry { project, branch, change, patchset, newrev, .. } = entry;
        let flat = |name| BuildRef { project, branch, change, patchset, name, newrev };
        Self {
            uuid: entry.uuid,
            job_name: entry.job_name,
            result: entry.result,
            start_time: entry.start_time,
            end_time: entry.end_time,
            event_timestamp: entry.event_timestamp,
            pipeline: entry.pipeline,
            buildset: entry.buildset.and_then(|buildset| buildset.uuid),
            reference: match entry.reference {
                Some(NameOrRef::Ref(reference)) => reference,
                Some(NameOrRef::Name(name)) => flat(Some(name)),
                None => flat(None),
            },
            artifacts: entry.artifacts.unwrap_or_default(),
        }
    }
}

/// Changes are numbers in one version of Zuul and texts in another.
fn text_or_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(serde::de::Error::custom("expected a text or a number")),
    }
}

/// Zuul writes moments in UTC and does not say so.
fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let moment = text.parse::<DateTime>().and_then(|moment| Offset::UTC.to_timestamp(moment));
    moment.map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn build(value: Value) -> Result<Build, serde_json::Error> {
        serde_json::from_value::<Entry>(value).map(Build::from)
    }

    #[test]
    fn what_is_no_build_is_refused() {
        for wrong in [
            json!({"uuid": 3}),
            json!({"end_time": "yesterday"}),
            json!({"event_timestamp": 5}),
            json!({"artifacts": {}}),
            json!({"ref": {"change": []}}),
            json!({"change": {}}),
            json!({"buildset": "bb"}),
            json!([]),
        ] {
            assert!(build(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn both_shapes_of_a_build_are_one() {
        let artifact = json!({"name": "img", "url": "docker://x", "metadata": {"type": "t"}});
        let nested = json!({
            "_id": 7, "uuid": "aa", "job_name": "build", "result": "SUCCESS", "held": false,
            "start_time": "2026-01-02T03:04:05", "end_time": "2026-01-02T03:05:05",
            "pipeline": "gate", "buildset": {"uuid": "bb"}, "artifacts": [artifact],
            "event_timestamp": "2026-01-02T03:00:00",
            "ref": {"project": "org/p", "branch": "main", "change": 1001, "patchset": "2",
                    "ref": "refs/changes/01/1001/2", "oldrev": null, "newrev": null},
        });
        let flat = json!({
            "uuid": "aa", "job_name": "build", "result": "SUCCESS", "pipeline": "gate",
            "start_time": "2026-01-02T03:04:05",
            "end_time": "2026-01-02T03:05:05", "artifacts": [artifact],
            "event_timestamp": "2026-01-02T03:00:00", "buildset": {"uuid": "bb"},
            "project": "org/p", "branch": "main", "change": 1001, "patchset": "2",
            "ref": "refs/changes/01/1001/2", "newrev": null,
        });
        let build = build(nested).unwrap();
        assert_eq!(build, self::build(flat).unwrap());
        assert_eq!(build.reference.change.as_deref(), Some("1001"));
        assert_eq!(build.buildset.as_deref(), Some("bb"));
        assert_eq!(build.end_time.unwrap().to_string(), "2026-01-02T03:05:05Z");
        assert_eq!(build.event_timestamp.unwrap().to_string(), "2026-01-02T03:00:00Z");
        assert!(build.succeeded());
    }

    #[test]
    fn what_zuul_does_not_know_yet_is_none() {
        let running = build(json!({
            "uuid": null, "job_name": "build", "result": null, "end_time": null,
            "ref": {"project": "org/p", "change": null, "newrev": "c0ffee"}, "artifacts": null,
        }));
        let running = running.unwrap();
        assert!(!running.succeeded());
        assert_eq!((running.uuid, running.end_time, running.artifacts), (None, None, Vec::new()));
        assert_eq!(running.reference.newrev.as_deref(), Some("c0ffee"));
    }

    #[test]
    fn a_query_is_read_as_it_stands_in_a_url() {
        let query = BuildQuery::parse("change=1001&job_name=build%20it&");
        let same =
            BuildQuery::new().by(BuildFilter::Change, "1001").by(BuildFilter::JobName, "build it");
        assert_eq!(query, same);
        assert_eq!(BuildQuery::parse("?a=b"), BuildQuery::parse("a=b"));
    }
}
