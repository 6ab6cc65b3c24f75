use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode, header};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use tokio::sync::Mutex;

use super::event::{Event, events};
use super::expected::Expected;
use super::verdict::{Children, Verdict};
use crate::promoter::Error;
use crate::serve::{Arriving, Body, Handler, Peer, full, whole};

/// An event is small.
const MAX_BODY: usize = 1024 * 1024;
const BODY_TIME: Duration = Duration::from_secs(30);
/// Manifests that could not be read are not read again sooner.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// Judges changes as they are told, over HTTP.
pub struct Auditor {
    /// Reads the manifests, again when they are old.
    manifests: Manifested,
    children: Children,
    /// The registry whose events do not say where they are from.
    host: Option<String>,
    /// Who tells events has to show this.
    token: Option<String>,
    metrics: Registry,
    transactions: Family<Labels, Counter>,
    failures: Counter,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

/// What manifests say, as of a moment.
pub struct Manifested {
    read: Box<dyn Fn() -> Result<Expected, String> + Send + Sync>,
    good_for: Duration,
    held: RwLock<(Instant, Arc<Expected>)>,
    /// When they could not be read, and why. Locked while they are read.
    failed: Mutex<Option<(Instant, String)>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    verdict: &'static str,
    severity: &'static str,
}

/// A line of the log.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    verdict: &'a Verdict,
    #[serde(flatten)]
    event: Option<&'a Event>,
}

impl Manifested {
    /// What `read` gives, for so long; then it is asked again.
    ///
    /// # Errors
    /// The first reading fails.
    pub fn new(
        read: impl Fn() -> Result<Expected, String> + Send + Sync + 'static,
        good_for: Duration,
    ) -> Result<Self, String> {
        let first = Arc::new(read()?);
        let held = RwLock::new((Instant::now(), first));
        Ok(Self { read: Box::new(read), good_for, held, failed: Mutex::default() })
    }

    /// What is held now.
    pub fn expected(&self) -> Arc<Expected> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Who asks while manifests are read waits for what comes of it.
    async fn fresh(&self) -> Result<Arc<Expected>, String> {
        if let Some(held) = self.good() {
            return Ok(held);
        }
        let mut failed = self.failed.lock().await;
        if let Some(held) = self.good() {
            return Ok(held);
        }
        if let Some((at, reason)) = failed.as_ref()
            && at.elapsed() < FAILED_FOR
        {
            return Err(reason.clone());
        }
        match tokio::task::block_in_place(|| (self.read)()) {
            Ok(new) => {
                let new = Arc::new(new);
                *self.held.write().unwrap_or_else(PoisonError::into_inner) =
                    (Instant::now(), Arc::clone(&new));
                *failed = None;
                Ok(new)
            }
            Err(reason) => {
                *failed = Some((Instant::now(), reason.clone()));
                Err(reason)
            }
        }
    }

    /// What is held, if it is not old.
    fn good(&self) -> Option<Arc<Expected>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        (held.0.elapsed() < self.good_for).then(|| Arc::clone(&held.1))
    }
}

impl Auditor {
    /// Writes each verdict as a line of JSON by `tell`.
    #[must_use]
    pub fn new(
        manifests: Manifested,
        children: Children,
        host: Option<String>,
        token: Option<String>,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let transactions = Family::<Labels, Counter>::default();
        let failures = Counter::default();
        let mut metrics = Registry::with_prefix("image_promoter_audit");
        metrics.register("transactions", "Changes judged, by verdict", transactions.clone());
        metrics.register("failures", "Changes that could not be judged yet", failures.clone());
        let tell = Box::new(tell);
        Self { manifests, children, host, token, metrics, transactions, failures, tell }
    }

    async fn take(&self, request: Request<Arriving>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        if !self.is_known(&parts) {
            return answer(StatusCode::UNAUTHORIZED, "a token is wanted\n".to_owned());
        }
        let body = match whole(body, MAX_BODY, BODY_TIME).await {
            Ok(body) => body,
            Err(error) => return answer(StatusCode::BAD_REQUEST, format!("{error}\n")),
        };
        let events = match events(&parts.headers, &body, self.host.as_deref()) {
            Ok(events) => events,
            // Told again it would be the same.
            Err(error) => {
                let verdict = Verdict::rejected(error.to_string());
                self.note(None, &verdict);
                return verdicts(&[verdict]);
            }
        };
        let mut all = Vec::new();
        for event in &events {
            match self.judge(event).await {
                Ok(verdict) => {
                    self.note(Some(event), &verdict);
                    all.push(verdict);
                }
                Err(error) => {
                    self.failures.inc();
                    tracing::error!("no verdict yet: {error}");
                    return answer(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "tell it again later\n".to_owned(),
                    );
                }
            }
        }
        verdicts(&all)
    }

    async fn judge(&self, event: &Event) -> Result<Verdict, Error> {
        let expected = self.manifests.fresh().await.map_err(Error::Argument)?;
        Verdict::of(event, &expected, &self.children).await
    }

    fn is_known(&self, parts: &http::request::Parts) -> bool {
        let Some(token) = &self.token else { return true };
        let shown = parts.headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
        let shown = shown.and_then(|it| it.strip_prefix("Bearer "));
        let asked = parts.uri.query().unwrap_or_default();
        let asked = url::form_urlencoded::parse(asked.as_bytes()).find(|(name, _)| name == "token");
        let is_it = |text: &str| bool::from(text.as_bytes().ct_eq(token.as_bytes()));
        shown.is_some_and(is_it) || asked.is_some_and(|(_, value)| is_it(&value))
    }

    fn note(&self, event: Option<&Event>, verdict: &Verdict) {
        let word = if verdict.verified { "verified" } else { "rejected" };
        let labels = Labels { verdict: word, severity: verdict.severity };
        self.transactions.get_or_create(&labels).inc();
        let line = Line { time: jiff::Timestamp::now().to_string(), verdict, event };
        (self.tell)(&serde_json::to_string(&line).unwrap_or_default());
    }

    fn metrics(&self) -> Response<Body> {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.metrics);
        let mut response = answer(StatusCode::OK, text);
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
        response
    }
}

impl Handler for Auditor {
    async fn answer(self: &Arc<Self>, request: Request<Arriving>, _: Peer) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => self.metrics(),
            (&Method::GET, "/healthz") => answer(StatusCode::OK, "ok\n".to_owned()),
            (&Method::POST, _) => self.take(request).await,
            _ => answer(StatusCode::NOT_FOUND, "events are told by POST\n".to_owned()),
        }
    }
}

fn verdicts(all: &[Verdict]) -> Response<Body> {
    let text = serde_json::to_string(&serde_json::json!({ "verdicts": all })).unwrap_or_default();
    let mut response = answer(StatusCode::OK, text + "\n");
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn answer(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn all_who_wait_for_manifests_share_one_reading_and_one_failure() {
        let (count, bad) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, is_bad) = (Arc::clone(&count), Arc::clone(&bad));
        let read = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(50));
            match is_bad.load(Ordering::SeqCst) {
                true => Err("wrong".to_owned()),
                false => Ok(Expected::default()),
            }
        };
        let good_for = Duration::from_secs(60);
        let manifests = Arc::new(Manifested::new(read, good_for).unwrap());
        let ask_all = async || {
            let asking: Vec<_> = (0..4)
                .map(|_| {
                    let manifests = Arc::clone(&manifests);
                    tokio::spawn(async move { manifests.fresh().await.is_ok() })
                })
                .collect();
            let mut answers = Vec::new();
            for asked in asking {
                answers.push(asked.await.unwrap());
            }
            answers
        };
        for (fails, readings) in [(false, 2), (true, 3)] {
            bad.store(fails, Ordering::SeqCst);
            let long_ago = Instant::now().checked_sub(2 * good_for).unwrap();
            manifests.held.write().unwrap().0 = long_ago;
            assert_eq!(ask_all().await, [!fails; 4]);
            assert_eq!(count.load(Ordering::SeqCst), readings);
        }
        tokio::time::sleep(FAILED_FOR).await;
        bad.store(false, Ordering::SeqCst);
        assert_eq!(ask_all().await, [true; 4]);
    }
}
