use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;

use super::Body;

/// A request's body while it comes.
pub type Arriving = Incoming;

/// All of a small body.
///
/// # Errors
/// It has more than `limit` bytes, takes longer than `time`, or breaks off.
pub async fn whole(body: Arriving, limit: usize, time: Duration) -> io::Result<Bytes> {
    let collected = tokio::time::timeout(time, Limited::new(body, limit).collect());
    let collected = collected.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
    Ok(collected.map_err(io::Error::other)?.to_bytes())
}

/// The body of an answer that is in memory.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}
