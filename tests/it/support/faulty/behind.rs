//! What answers as it should.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::answer::{Body, whole};
use super::{Fault, Memory};

/// The way from one connection to what is behind.
pub(super) enum Behind {
    Memory(Arc<Memory>),
    Registry { address: SocketAddr, connection: Mutex<Option<SendRequest<Body>>> },
}

impl Behind {
    pub(super) fn registry(address: SocketAddr) -> Self {
        Self::Registry { address, connection: Mutex::default() }
    }

    pub(super) async fn answer(&self, request: Request<Body>) -> io::Result<Response<Body>> {
        match self {
            Self::Memory(memory) => {
                let (parts, body) = request.into_parts();
                let request = Request::from_parts(parts, collect(body).await?);
                let mut answer = memory.answer(&request);
                let length = HeaderValue::from(answer.body().len());
                answer.headers_mut().entry(CONTENT_LENGTH).or_insert(length);
                Ok(answer.map(whole))
            }
            Self::Registry { address, connection } => {
                let mut connection = connection.lock().await;
                let usable = match connection.as_mut() {
                    Some(open) => open.ready().await.is_ok(),
                    None => false,
                };
                if !usable {
                    *connection = Some(connect(*address).await?);
                }
                let sender = connection.as_mut().unwrap();
                let answer = sender.send_request(request).await.map_err(io::Error::other)?;
                Ok(answer.map(|body| {
                    let frames = body.into_data_stream();
                    let frames = frames.map(|data| data.map(Frame::data).map_err(io::Error::other));
                    StreamBody::new(frames.boxed())
                }))
            }
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<SendRequest<Body>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with its sender, that is with the client's connection.
    tokio::spawn(connection);
    Ok(sender)
}

/// The body of a request as it comes, its bytes counted; cut off or standing still where a fault says so.
pub(super) fn passing(
    body: Incoming,
    fault: Option<&Fault>,
    count: impl Fn(usize) + Send + 'static,
) -> Body {
    let (most, stalls) = match fault {
        Some(Fault::CutRequest(bytes)) => (Some(*bytes), false),
        Some(Fault::StallRequest(bytes)) => (Some(*bytes), true),
        _ => (None, false),
    };
    let passing =
        stream::unfold((body, 0, count), move |(mut body, mut passed, count)| async move {
            let room = most.map_or(usize::MAX, |most| most - passed);
            let next = if room > 0 { body.frame().await } else { None };
            let next = match next {
                Some(Ok(frame)) => {
                    let mut bytes = frame.into_data().unwrap_or_default();
                    bytes.truncate(room);
                    passed += bytes.len();
                    count(bytes.len());
                    Ok(Frame::data(bytes))
                }
                Some(Err(error)) => Err(io::Error::other(error)),
                None if most.is_none() => return None,
                None if stalls => std::future::pending().await,
                None => Err(io::Error::other("cut")),
            };
            Some((next, (body, passed, count)))
        });
    StreamBody::new(passing.boxed())
}

pub(super) async fn collect(body: Body) -> io::Result<Bytes> {
    Ok(BodyExt::collect(body).await?.to_bytes())
}

/// Reads a body that nobody wants.
pub(super) async fn drain(mut body: Body) -> io::Result<()> {
    while let Some(frame) = body.frame().await {
        let _: Frame<Bytes> = frame?;
    }
    Ok(())
}
