use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use prometheus_client::metrics::counter::Counter;

use super::Error;
use super::call::Call;
use crate::serve::Body;
use crate::storage::ByteStream;

/// How long a small body may take.
const SMALL_TIME: Duration = Duration::from_secs(5 * 60);

/// How much of a body is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    /// How long it may bring no bytes.
    pub(super) idle: Duration,
    /// When it has to have come.
    pub(super) until: Instant,
    /// How many bytes it may have.
    pub(super) bytes: u64,
}

/// The bytes of a request as they come; ends with an error when they are too slow or too many.
pub(super) fn incoming(
    body: Incoming,
    allowed: Allowed,
    counter: Counter,
    received: Arc<AtomicU64>,
) -> ByteStream {
    stream::unfold(Some((body, allowed.bytes)), move |state| {
        let (counter, received) = (counter.clone(), Arc::clone(&received));
        async move {
            let (mut body, room) = state?;
            match allowed.next(&mut body).await.transpose()? {
                Ok(bytes) => {
                    counter.inc_by(bytes.len() as u64);
                    received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    match room.checked_sub(bytes.len() as u64) {
                        Some(room) => Some((Ok(bytes), Some((body, room)))),
                        None => Some((Err(allowed.too_large()), None)),
                    }
                }
                Err(error) => Some((Err(error), None)),
            }
        }
    })
    .boxed()
}

impl Allowed {
    /// The next bytes; trailers are passed over.
    async fn next(&self, body: &mut Incoming) -> io::Result<Option<Bytes>> {
        loop {
            let until = self.until.min(Instant::now() + self.idle);
            match tokio::time::timeout_at(until.into(), body.frame()).await {
                Err(_) => return Err(self.too_slow()),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(io::Error::other(error)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    fn too_slow(&self) -> io::Error {
        let message = match self.until.checked_duration_since(Instant::now()) {
            None => "the body takes longer than it may".to_owned(),
            Some(_) => format!("no bytes came for {} s", self.idle.as_secs()),
        };
        io::Error::new(io::ErrorKind::TimedOut, message)
    }

    fn too_large(&self) -> io::Error {
        let message = format!("more than the {} bytes that are allowed came", self.bytes);
        io::Error::new(io::ErrorKind::FileTooLarge, message)
    }
}

/// A whole small body. One that says it is too long is not touched, so that its client sees the answer.
pub(super) async fn read(call: &mut Call, limit: usize, idle: Duration) -> Result<Bytes, Error> {
    if call.content_length().is_some_and(|length| length > limit as u64) {
        return Err(Error::TooLarge { limit });
    }
    let Some(body) = call.take_body() else { return Ok(Bytes::new()) };
    let allowed = Allowed { idle, until: call.started + SMALL_TIME, bytes: u64::MAX };
    let mut stream = incoming(body, allowed, Counter::default(), Arc::clone(&call.received));
    let mut bytes = BytesMut::new();
    while let Some(part) = stream.try_next().await.map_err(Error::Body)? {
        if bytes.len() + part.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

/// Bytes of the store as the body of an answer. When reading fails, the connection is reset: the
/// length announced is not reached.
pub(super) fn outgoing(bytes: ByteStream, counter: Counter) -> Body {
    let frames = bytes.map(move |part| {
        part.map(|bytes| {
            counter.inc_by(bytes.len() as u64);
            Frame::data(bytes)
        })
        .inspect_err(|error| tracing::error!(%error, "reading a blob failed half way"))
    });
    StreamBody::new(frames).boxed_unsync()
}
