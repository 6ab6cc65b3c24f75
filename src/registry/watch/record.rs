use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::header::{HeaderMap, HeaderName};
use http::{Method, StatusCode};

use super::metrics::Metrics;
use crate::layers::Layer;
use crate::registry::call::Call;
use crate::serve::Sent;

/// The request's name, for whoever looks for it in the log.
pub(in crate::registry) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a client may call its request, at most.
const MAX_ID_BYTES: usize = 64;

/// What is known of a request, for the line it leaves in the log and for the metrics. Both are written
/// when its answer has left, or when the client has gone before there was one.
pub(in crate::registry) struct Record {
    metrics: Arc<Metrics>,
    started: Instant,
    id: Arc<str>,
    peer: SocketAddr,
    user: String,
    method: Method,
    path: String,
    route: &'static str,
    received: Arc<AtomicU64>,
    answer: Option<(StatusCode, Option<Layer>)>,
    broke_off: bool,
    sent: Sent,
}

impl Record {
    pub(in crate::registry) fn new(
        call: &Call,
        route: &'static str,
        metrics: Arc<Metrics>,
    ) -> Self {
        metrics.begin();
        Self {
            metrics,
            started: call.started,
            id: Arc::clone(&call.id),
            peer: call.peer,
            user: "-".to_owned(),
            method: call.method.clone(),
            path: call.path.clone(),
            route,
            received: Arc::clone(&call.received),
            answer: None,
            broke_off: false,
            sent: Sent { bytes: 0, whole: false },
        }
    }

    /// Who sent it is known.
    pub(in crate::registry) fn of_user(&mut self, name: &str) {
        name.clone_into(&mut self.user);
    }

    /// The request did not end: nobody may be there to read the answer.
    pub(in crate::registry) fn broke_off(&mut self, broke_off: bool) {
        self.broke_off = broke_off;
    }

    /// There is an answer, from this layer.
    pub(in crate::registry) fn answered(&mut self, status: StatusCode, layer: Option<Layer>) {
        self.answer = Some((status, layer));
    }

    /// The answer has left.
    pub(in crate::registry) fn sent(mut self, sent: Sent) {
        self.sent = sent;
    }

    /// nginx's word for a client that has not waited for the answer.
    fn status(&self) -> u16 {
        self.answer.map_or(499, |(status, _)| status.as_u16())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let taken = self.started.elapsed();
        self.metrics.end(&self.method, self.route, self.status(), taken);
        let line = Line {
            milliseconds: taken.as_secs_f64() * 1000.0,
            layer: self.answer.and_then(|(_, layer)| layer).map(Layer::as_str),
            vanished: (self.broke_off || !self.sent.whole).then_some(true),
            received: self.received.load(Ordering::Relaxed),
            record: self,
        };
        // Those who only look whether we live would drown the others.
        if self.route == "health" {
            line.write_quietly();
        } else {
            line.write();
        }
    }
}

/// A line of the log.
struct Line<'a> {
    record: &'a Record,
    milliseconds: f64,
    layer: Option<&'static str>,
    vanished: Option<bool>,
    received: u64,
}

macro_rules! write_line {
    ($level:ident, $line:expr) => {
        tracing::$level!(
            id = &*$line.record.id,
            peer = %$line.record.peer,
            user = $line.record.user,
            method = $line.record.method.as_str(),
            path = $line.record.path,
            status = $line.record.status(),
            layer = $line.layer,
            received = $line.received,
            sent = $line.record.sent.bytes,
            milliseconds = ($line.milliseconds * 1000.0).round() / 1000.0,
            vanished = $line.vanished,
            "request"
        )
    };
}

impl Line<'_> {
    fn write(&self) {
        write_line!(info, self);
    }

    fn write_quietly(&self) {
        write_line!(debug, self);
    }
}

/// The name a client gave its request, if it is short and clean.
pub(in crate::registry) fn id_of(headers: &HeaderMap) -> Option<Arc<str>> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let clean = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = !id.is_empty() && id.len() <= MAX_ID_BYTES;
    (fits && id.bytes().all(clean)).then(|| id.into())
}

/// A name for a request: unlike every other of this process, and most likely of every other one.
pub(in crate::registry) fn new_id() -> Arc<str> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static START: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let start = START.get_or_init(|| {
        let mut bytes = [0; 4];
        // Without randomness the numbers alone have to do.
        let _ = getrandom::fill(&mut bytes);
        u32::from_ne_bytes(bytes)
    });
    format!("{start:08x}-{:x}", NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::HeaderValue;

    use super::*;

    fn id(value: &[u8]) -> Option<Arc<str>> {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
        id_of(&headers)
    }

    #[test]
    fn a_name_that_is_long_or_not_clean_is_not_taken() {
        for value in [&b""[..], b"a b", b"a\"b", b"a=b", b"<b>", b"\xff", b"a\tb", &[b'a'; 65]] {
            assert_eq!(id(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_clean_name_is_taken() {
        for value in ["1", "0f9d3c8e-5b9c-4a54-9d8d-6a7b0c9f1e2d", "A_b.c-1"] {
            assert_eq!(id(value.as_bytes()).as_deref(), Some(value));
        }
        assert_ne!(new_id(), new_id());
    }
}
