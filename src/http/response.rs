use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt};
use http::StatusCode;
use http::header::{AsHeaderName, DATE, HeaderMap, RETRY_AFTER};
use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::settings::Counters;
use super::{Answer, Error, retry};

/// What a server answered. Its body is read by one of the methods that take it.
pub struct Response {
    pub(super) inner: reqwest::Response,
    pub(super) host: String,
    /// Who redirected there.
    pub(super) redirected_by: Option<String>,
    /// The body, where it was read already.
    pub(super) body: Option<Bytes>,
    pub(super) idle: Duration,
    pub(super) counters: Arc<Counters>,
    /// Counts against the host's limit until the body is read or dropped.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Response {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// The first header of this name, if it is text.
    #[must_use]
    pub fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// What the time was there when it was answered (RFC 9110, 6.6.1), if that was said.
    #[must_use]
    pub fn date(&self) -> Option<Timestamp> {
        self.header(DATE).and_then(retry::parse_date)
    }

    /// Where the answer came from, after redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.inner.url()
    }

    /// `HOST:PORT` of where the answer came from.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The body, which must not be longer than `limit` bytes. It may take several times the silence that is
    /// allowed: whoever sends a byte now and then does not keep anybody waiting for ever.
    ///
    /// # Errors
    /// A longer body, a broken connection, silence.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, Error> {
        match self.body.take() {
            Some(body) if body.len() > limit => Err(Error::TooLarge { host: self.host, limit }),
            Some(body) => Ok(body),
            None => self.receive(limit).await,
        }
    }

    /// The same answer with its body.
    pub(super) async fn read(mut self, limit: usize) -> Result<Self, Error> {
        self.body = Some(self.receive(limit).await?);
        Ok(self)
    }

    async fn receive(&mut self, limit: usize) -> Result<Bytes, Error> {
        let (host, whole) = (self.host.clone(), self.idle.saturating_mul(5));
        let collected = tokio::time::timeout(whole, self.collect(limit)).await;
        let what = "did not come to the end of its answer";
        collected.unwrap_or(Err(Error::Timeout { host, what, limit: whole }))
    }

    async fn collect(&mut self, limit: usize) -> Result<Bytes, Error> {
        let host = self.host.clone();
        let announced = self.inner.content_length().unwrap_or(0);
        let too_large = || Error::TooLarge { host: host.clone(), limit };
        if announced > limit as u64 {
            return Err(too_large());
        }
        let mut collected = BytesMut::new();
        let mut patience = Patience::new(self.idle);
        while let Some(chunk) = patience.next(self).await? {
            if collected.len() + chunk.len() > limit {
                return Err(too_large());
            }
            collected.extend_from_slice(&chunk);
        }
        Ok(collected.freeze())
    }

    /// The body as it comes.
    #[must_use]
    pub fn stream(self) -> BoxStream<'static, Result<Bytes, Error>> {
        let coming = (Patience::new(self.idle), self);
        let stream =
            futures_util::stream::try_unfold(coming, |(mut patience, mut response)| async {
                let chunk = match response.body.take() {
                    Some(body) => Some(body).filter(|body| !body.is_empty()),
                    None => patience.next(&mut response).await?,
                };
                Ok(chunk.map(|chunk| (chunk, (patience, response))))
            });
        stream.boxed()
    }

    /// Reads the rest of a short body so that the connection can be used again.
    pub async fn discard(self) {
        let _ = self.bytes(Answer::MAX_BODY_BYTES).await;
    }

    /// The error this answer stands for, with the server's own words.
    pub async fn into_error(self) -> Error {
        let host = match &self.redirected_by {
            Some(by) => format!("{}, where {by} redirects to,", self.host),
            None => self.host.clone(),
        };
        let status = self.status().as_u16();
        let retry_after = self
            .header(RETRY_AFTER)
            .and_then(retry::parse_retry_after)
            .or_else(|| self.header("x-retry-after").and_then(retry::parse_retry_at));
        let body = self.bytes(Answer::MAX_BODY_BYTES).await.unwrap_or_default();
        Error::from_answer(host, Answer::new(status, retry_after, &body))
    }
}

/// How long a body is still waited for. It is not enough to send a byte now and then: who did so would
/// never be given up.
struct Patience {
    idle: Duration,
    left: Duration,
    /// Bytes that came since it was whole.
    came: usize,
}

impl Patience {
    /// So many bytes make it whole again.
    const PROGRESS_BYTES: usize = 16 * 1024;

    fn new(idle: Duration) -> Self {
        Self { idle, left: idle, came: 0 }
    }

    async fn next(&mut self, response: &mut Response) -> Result<Option<Bytes>, Error> {
        let asked = Instant::now();
        match tokio::time::timeout(self.left, response.inner.chunk()).await {
            Ok(Ok(chunk)) => {
                self.left = self.left.saturating_sub(asked.elapsed());
                self.came += chunk.as_ref().map_or(0, Bytes::len);
                if self.came >= Self::PROGRESS_BYTES {
                    *self = Self::new(self.idle);
                }
                response.counters.bytes_in.add(chunk.as_ref().map_or(0, Bytes::len));
                Ok(chunk)
            }
            Ok(Err(error)) => {
                let plain = response.url().scheme() == "http";
                Err(Error::from_reqwest(&response.host, plain, &error, self.idle))
            }
            Err(_) => Err(Error::Timeout {
                host: response.host.clone(),
                what: match self.came {
                    0 => "sent nothing more",
                    _ => "sent hardly anything more",
                },
                limit: self.idle,
            }),
        }
    }
}
