use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{Method, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::net::TcpStream;

use super::Body;
use super::file::FileBody;
use super::sent::{Metered, OnSent, Sent, Wire};
use super::tunnel::Line;

/// The file that is left to send when hyper has sent the head of its answer.
#[derive(Default)]
pub(super) struct Handed(Mutex<Option<Rest>>);

pub(super) struct Rest {
    file: FileBody,
    on_sent: Option<OnSent>,
    terms: Terms,
}

/// What a request allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Whether another request may follow.
    keep: bool,
}

impl Terms {
    /// Only of a request with nothing behind its head: what is unread would look like the next one.
    pub(super) fn of(request: &Request<Incoming>) -> Option<Self> {
        let closes = request.headers().get_all(CONNECTION).iter().any(|value| {
            let value = value.to_str().unwrap_or("close");
            value.split(',').any(|word| word.trim().eq_ignore_ascii_case("close"))
        });
        let keep = request.version() == Version::HTTP_11 && !closes;
        let bare = request.method() == Method::GET && request.body().is_end_stream();
        bare.then_some(Self { keep })
    }
}

impl Handed {
    /// Makes the answer that hyper is to write.
    pub(super) fn divide(
        &self,
        mut response: Response<Body>,
        terms: Option<Terms>,
        wire: &Wire,
    ) -> Response<Body> {
        let announced = response.headers().get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
        let on_sent = response.extensions_mut().remove::<OnSent>();
        let file = response.extensions_mut().remove::<FileBody>();
        let file = file.filter(|file| file.length() > 0 && announced == Some(file.length()));
        match (file, terms, on_sent) {
            (Some(file), Some(terms), on_sent) => {
                let head = Head { length: file.length(), wire: wire.clone() };
                *self.lock() = Some(Rest { file, on_sent, terms });
                response.map(|_| head.boxed_unsync())
            }
            (_, _, Some(on_sent)) => response.map(|body| wire.follow(on_sent, announced, body)),
            _ => response,
        }
    }

    pub(super) fn take(&self) -> Option<Rest> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Rest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    /// Sends the file; gives the stream back if another request may follow.
    pub(super) async fn send<S: Send + 'static>(
        mut self,
        stream: Metered<S>,
        socket: fn(&S) -> &TcpStream,
        line: &Line,
    ) -> Option<Metered<S>> {
        let length = self.file.length();
        let sending = self.file.send(stream, socket, &line.limits);
        let sent = line.signals.abort.run_until_cancelled(sending).await;
        let left = self.file.length();
        if let Some(on_sent) = self.on_sent {
            on_sent.tell(Sent { bytes: length - left, whole: left == 0 });
        }
        match sent? {
            Ok(stream) if self.terms.keep && !line.signals.stop.is_cancelled() => Some(stream),
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(%error, "the connection broke off");
                None
            }
        }
    }
}

/// A body that is not there: who writes the answer waits for it with the head written.
struct Head {
    length: u64,
    wire: Wire,
}

impl hyper::body::Body for Head {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.wire.head_only();
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
