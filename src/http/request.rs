use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream};
use http::header::{HeaderName, IntoHeaderName};
use http::{HeaderMap, HeaderValue, Method};
use url::Url;

use super::settings::Counters;

/// Bytes to be sent that are not in memory.
pub type BodyStream = BoxStream<'static, Result<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// What is asked of a server.
#[derive(Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: Url,
    /// Headers, `Authorization` apart.
    pub headers: HeaderMap,
    /// `Authorization`; it never leaves for another scheme, host or port than the URL's.
    pub authorization: Option<HeaderValue>,
    /// The body.
    pub body: Body,
    /// As whom it is asked, for [`Settings::rate`](super::Settings).
    pub identity: Option<Arc<str>>,
    /// Whether a server chose where it goes, not who runs this: [`Settings::reach`](super::Settings).
    pub named_by_answer: bool,
    /// How long an answer of success may be that is of use only whole.
    pub(super) whole: Option<usize>,
}

/// What is sent along.
pub enum Body {
    /// Nothing.
    Empty,
    /// Bytes in memory; can be sent again.
    Bytes(Bytes),
    /// Exactly so many bytes from a stream; can be sent once.
    Stream {
        /// `Content-Length`.
        length: u64,
        /// The bytes. An error in it breaks the request off.
        stream: BodyStream,
    },
}

impl Request {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            authorization: None,
            body: Body::Empty,
            identity: None,
            named_by_answer: false,
            whole: None,
        }
    }

    /// With this header.
    #[must_use]
    pub fn header(mut self, name: impl IntoHeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// With this body, whose type is `content_type`.
    #[must_use]
    pub fn body(mut self, content_type: HeaderValue, body: Body) -> Self {
        let name: HeaderName = http::header::CONTENT_TYPE;
        self.headers.insert(name, content_type);
        self.body = body;
        self
    }

    /// For an answer that is of use only whole, of at most `limit` bytes: one that breaks off is asked for
    /// again like one that does not come.
    #[must_use]
    pub fn whole(self, limit: usize) -> Self {
        Self { whole: Some(limit), ..self }
    }

    /// The same request again, unless its body can be sent only once.
    #[must_use]
    pub fn again(&self) -> Option<Self> {
        let body = match &self.body {
            Body::Empty => Body::Empty,
            Body::Bytes(bytes) => Body::Bytes(bytes.clone()),
            Body::Stream { .. } => return None,
        };
        Some(Self {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            authorization: self.authorization.clone(),
            body,
            identity: self.identity.clone(),
            named_by_answer: self.named_by_answer,
            whole: self.whole,
        })
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream { length, .. } => write!(f, "Stream({length})"),
        }
    }
}

/// A body on its way: counted, and watched for standstill.
pub(super) struct Outgoing {
    pub(super) stream: BodyStream,
    /// Bytes still to come; nobody asks for more when there are none left.
    pub(super) remaining: u64,
    pub(super) watch: Arc<Watch>,
    pub(super) counters: Arc<Counters>,
}

/// What an outgoing body did last.
pub(super) struct Watch(Mutex<State>);

struct State {
    since: Instant,
    phase: Phase,
    source_error: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// The server has to take bytes.
    Sending,
    /// The source has to give bytes; it has timeouts of its own.
    Waiting,
    /// The server has to answer.
    Sent,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { since: Instant::now(), phase: Phase::Sending, source_error: None }))
    }

    /// Resolves when the server has not taken a byte for `idle`, or not answered for `commit` after
    /// the last one.
    pub(super) async fn standstill(&self, idle: Duration, commit: Duration) -> Duration {
        loop {
            let (since, phase) = {
                let state = self.lock();
                (state.since, state.phase)
            };
            let limit = if phase == Phase::Sent { commit } else { idle };
            let silent = since.elapsed();
            if phase != Phase::Waiting && silent >= limit {
                return limit;
            }
            let nap = limit.saturating_sub(silent).min(idle);
            tokio::time::sleep(nap.max(Duration::from_millis(10))).await;
        }
    }

    /// Why the source broke off, if it did.
    pub(super) fn take_source_error(&self) -> Option<Box<dyn std::error::Error + Send + Sync>> {
        self.lock().source_error.take()
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = phase;
        state.since = Instant::now();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for Outgoing {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.stream.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            self.remaining = self.remaining.saturating_sub(bytes.len() as u64);
        }
        self.watch.enter(match &polled {
            Poll::Pending => Phase::Waiting,
            Poll::Ready(Some(_)) if self.remaining > 0 => Phase::Sending,
            Poll::Ready(_) => Phase::Sent,
        });
        polled.map(|next| match next? {
            Ok(bytes) => {
                self.counters.bytes_out.add(bytes.len());
                Some(Ok(bytes))
            }
            Err(error) => {
                self.watch.lock().source_error = Some(error);
                Some(Err(std::io::Error::other("the source broke off")))
            }
        })
    }
}
