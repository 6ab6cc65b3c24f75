use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use prometheus_client::metrics::counter::Counter;

use super::Error;
use super::call::Call;
use crate::serve::Body;
use crate::storage::ByteStream;

/// The bytes of a request as they come; ends with an error when none come for `idle`.
pub(super) fn incoming(
    body: Incoming,
    idle: Duration,
    counter: Counter,
    received: Arc<AtomicU64>,
) -> ByteStream {
    stream::unfold(Some(body), move |body| {
        let (counter, received) = (counter.clone(), Arc::clone(&received));
        async move {
            let mut body = body?;
            loop {
                match tokio::time::timeout(idle, body.frame()).await {
                    Err(_) => {
                        let message = format!("no bytes came for {} s", idle.as_secs());
                        return Some((Err(io::Error::new(io::ErrorKind::TimedOut, message)), None));
                    }
                    Ok(None) => return None,
                    Ok(Some(Err(error))) => return Some((Err(io::Error::other(error)), None)),
                    Ok(Some(Ok(frame))) => {
                        if let Ok(bytes) = frame.into_data() {
                            counter.inc_by(bytes.len() as u64);
                            received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                            return Some((Ok(bytes), Some(body)));
                        }
                    }
                }
            }
        }
    })
    .boxed()
}

/// A whole small body.
pub(super) async fn read(call: &mut Call, limit: usize, idle: Duration) -> Result<Bytes, Error> {
    let Some(body) = call.take_body() else { return Ok(Bytes::new()) };
    let mut stream = incoming(body, idle, Counter::default(), Arc::clone(&call.received));
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
