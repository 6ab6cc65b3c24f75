//! Answers that are not as they should be.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::StreamBody;
use hyper::body::Frame;

use super::Fault;
use super::behind::collect;

pub(super) type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, io::Error>>>;

pub(super) fn scripted(
    status: u16,
    headers: Vec<(&'static str, String)>,
    text: String,
) -> Response<Body> {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(name, value);
    }
    answer.body(whole(text.into())).unwrap()
}

pub(super) fn whole(bytes: Bytes) -> Body {
    let chunks: Vec<_> = bytes.chunks(64 * 1024).map(|chunk| bytes.slice_ref(chunk)).collect();
    StreamBody::new(stream::iter(chunks).map(|chunk| Ok(Frame::data(chunk))).boxed())
}

/// An answer as a fault changes it.
pub(super) async fn distorted(
    answer: Response<Body>,
    fault: Fault,
    is_head: bool,
) -> io::Result<Response<Body>> {
    let (mut parts, body) = answer.into_parts();
    let mut bytes = collect(body).await?;
    parts.headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(bytes.len()));
    let mut end = None;
    match fault {
        Fault::CutAfter(keep) => {
            bytes.truncate(keep);
            end = Some(cut());
        }
        Fault::StallAfter(keep) => {
            bytes.truncate(keep);
            end = Some(stream::pending().boxed());
        }
        Fault::PauseAfter(keep, mut gate) => {
            let rest = bytes.split_off(keep.min(bytes.len()));
            let going_on = async move {
                let _ = gate.wait_for(|open| *open).await;
                Ok(Frame::data(rest))
            };
            end = Some(stream::once(going_on).boxed());
        }
        Fault::Drip(size, pause) => end = Some(dripping(bytes.split_off(0), size, pause)),
        Fault::Header(name, value) => {
            parts.headers.remove(name);
            if let Some(value) = value {
                parts.headers.insert(name, value.parse().unwrap());
            }
        }
        Fault::LocationAt(place) => move_location(&mut parts.headers, &place),
        Fault::Status(status) => parts.status = StatusCode::from_u16(status).unwrap(),
        Fault::Body(body) => {
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
            bytes = body;
        }
        Fault::Chunked => drop(parts.headers.remove(header::CONTENT_LENGTH)),
        Fault::Truncated(keep) => {
            parts.headers.remove(header::CONTENT_LENGTH);
            bytes.truncate(keep);
        }
        Fault::Encoded(encoding) => {
            let prefix: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
            bytes = [prefix, &bytes].concat().into();
            parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            parts.headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
        }
        _ => {}
    }
    let body = match (is_head, end) {
        (true, _) => StreamBody::new(stream::empty().boxed()),
        (false, None) => whole(bytes),
        (false, Some(end)) => {
            StreamBody::new(stream::iter([Ok(Frame::data(bytes))]).chain(end).boxed())
        }
    };
    Ok(Response::from_parts(parts, body))
}

/// An answer as the bytes that go over the wire for it, the last of a connection.
pub(super) async fn raw(answer: Response<Body>, fault: &Fault, is_head: bool) -> io::Result<Bytes> {
    let (mut parts, body) = answer.into_parts();
    let bytes = collect(body).await?;
    let headers = &mut parts.headers;
    headers.remove(header::TRANSFER_ENCODING);
    let version = match fault {
        Fault::Garbage(text) => return Ok(Bytes::from_static(text)),
        Fault::Http10 => {
            headers.remove(header::CONTENT_LENGTH);
            "HTTP/1.0"
        }
        Fault::Length(length) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(*length));
            "HTTP/1.1"
        }
        _ => {
            headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(bytes.len()));
            "HTTP/1.1"
        }
    };
    let mut head = format!("{version} {}\r\n", parts.status);
    for (name, value) in &parts.headers {
        let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap());
    }
    head.push_str("\r\n");
    let bytes = if is_head { Bytes::new() } else { bytes };
    Ok([head.as_bytes(), &bytes].concat().into())
}

/// The same path and query at another place.
fn move_location(headers: &mut HeaderMap, place: &str) {
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap();
    let path = match location.split_once("://") {
        Some((_, rest)) => rest.split_once('/').unwrap().1,
        None => location.trim_start_matches('/'),
    };
    let moved = format!("{place}/{path}").parse().unwrap();
    headers.insert(header::LOCATION, moved);
}

/// What was written has to reach the client before the connection goes.
fn cut() -> BoxStream<'static, Result<Frame<Bytes>, io::Error>> {
    let cut = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(io::Error::other("cut"))
    };
    stream::once(cut).boxed()
}

fn dripping(
    bytes: Bytes,
    size: usize,
    pause: Duration,
) -> BoxStream<'static, Result<Frame<Bytes>, io::Error>> {
    let pieces: Vec<Bytes> = bytes.chunks(size).map(|piece| bytes.slice_ref(piece)).collect();
    let dripping = stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        Ok(Frame::data(piece))
    });
    dripping.boxed()
}
