use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Body;

/// How an answer left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Bytes of its body that the network took.
    pub bytes: u64,
    /// Whether that is all of it: else the client has gone, or the body broke.
    pub whole: bool,
}

/// What is told how an answer left. Put it into the answer's extensions; where it is dropped unheard,
/// the connection ended before the answer began.
#[derive(Clone)]
pub struct OnSent(Arc<Mutex<Option<Told>>>);

type Told = Box<dyn FnOnce(Sent) + Send>;

impl OnSent {
    /// With what is to be done then.
    pub fn new(told: impl FnOnce(Sent) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(told)))))
    }

    pub(super) fn tell(&self, sent: Sent) {
        if let Some(told) = lock(&self.0).take() {
            told(sent);
        }
    }
}

impl fmt::Debug for OnSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnSent")
    }
}

/// What is on its way through one connection.
#[derive(Clone, Default)]
pub(super) struct Wire(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    exchange: Option<Exchange>,
    turn: Turn,
}

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Turn {
    /// A request or its answer.
    #[default]
    Busy,
    /// Nothing: the last answer has left, and the client has said nothing since.
    Idle,
    /// The same, and it was looked at before.
    Quiet,
    /// The head of an answer whose body somebody else sends.
    Head,
    /// That body: the head has left.
    Body,
}

/// One answer on its way.
struct Exchange {
    on_sent: OnSent,
    /// How long the head says the body is.
    announced: Option<u64>,
    /// How much of the line break that ends the head has been seen.
    head: usize,
    /// Bytes behind the head that were written.
    written: u64,
    /// Bytes of the body that were taken for writing.
    taken: u64,
    /// Whether the body ended well, once it has ended.
    ended: Option<bool>,
}

impl Wire {
    /// Follows an answer that is about to be written.
    pub(super) fn follow(&self, on_sent: OnSent, announced: Option<u64>, body: Body) -> Body {
        let exchange = Exchange { on_sent, announced, head: 0, written: 0, taken: 0, ended: None };
        let before = lock(&self.0).exchange.replace(exchange);
        if let Some(before) = before {
            before.end(true);
        }
        Followed { body, wire: self.clone(), ended: false }.boxed_unsync()
    }

    /// The connection is over.
    pub(super) fn close(&self) {
        self.end(false);
    }

    /// Whether nothing has come since the last answer had left, and not since this was asked last.
    pub(super) fn is_quiet(&self) -> bool {
        let mut state = lock(&self.0);
        let quiet = state.turn == Turn::Quiet;
        if state.turn == Turn::Idle {
            state.turn = Turn::Quiet;
        }
        quiet
    }

    /// The body of the answer being written is sent by somebody else, behind its head.
    pub(super) fn head_only(&self) {
        let mut state = lock(&self.0);
        if state.turn != Turn::Body {
            state.turn = Turn::Head;
        }
    }

    /// Whether that head has left.
    pub(super) fn head_has_left(&self) -> bool {
        lock(&self.0).turn == Turn::Body
    }

    /// Something else begins.
    pub(super) fn begin(&self) {
        lock(&self.0).turn = Turn::Busy;
    }

    fn heard(&self) {
        let mut state = lock(&self.0);
        if matches!(state.turn, Turn::Idle | Turn::Quiet) {
            state.turn = Turn::Busy;
        }
    }

    fn note(&self, note: impl FnOnce(&mut Exchange)) {
        if let Some(exchange) = lock(&self.0).exchange.as_mut() {
            note(exchange);
        }
    }

    fn flushed(&self) {
        let mut state = lock(&self.0);
        if state.turn == Turn::Head {
            state.turn = Turn::Body;
        }
        let ended = state.exchange.as_ref().is_some_and(|exchange| exchange.ended.is_some());
        if ended {
            state.turn = Turn::Idle;
            drop(state);
            self.end(true);
        }
    }

    fn end(&self, flushed: bool) {
        let exchange = lock(&self.0).exchange.take();
        if let Some(exchange) = exchange {
            exchange.end(flushed);
        }
    }
}

impl Exchange {
    fn wrote(&mut self, bytes: &[u8]) {
        const END: &[u8] = b"\r\n\r\n";
        let mut bytes = bytes;
        while self.head < END.len() {
            let Some((byte, rest)) = bytes.split_first() else { return };
            bytes = rest;
            self.head = match END.get(self.head) == Some(byte) {
                true => self.head + 1,
                false => usize::from(*byte == b'\r'),
            };
        }
        self.written += bytes.len() as u64;
    }

    fn end(self, flushed: bool) {
        let whole = flushed && self.ended == Some(true);
        // Where the length is not known before, what frames the chunks is written too.
        let bytes = if whole { self.taken } else { self.written.min(self.taken) };
        self.on_sent.tell(Sent { bytes, whole });
    }
}

/// A body that says what was taken of it.
struct Followed {
    body: Body,
    wire: Wire,
    ended: bool,
}

impl hyper::body::Body for Followed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            None => self.ended = true,
            Some(Err(_)) => {}
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Buf::remaining) as u64;
                self.wire.note(|exchange| exchange.taken += length);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let ended = self.ended || self.body.is_end_stream();
        self.wire.note(|exchange| {
            // Who has taken all that was announced does not ask whether there is more.
            exchange.ended = Some(ended || exchange.announced == Some(exchange.taken));
        });
    }
}

/// A stream that says what was written to it, and gives first what was read from it too early.
pub(super) struct Metered<S> {
    stream: S,
    wire: Wire,
    early: Bytes,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, wire: Wire) -> Self {
        Self { stream, wire, early: Bytes::new() }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Gives back what was read and not used.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        // Bytes hold the whole buffer they were read into, even if they are none.
        if bytes.is_empty() {
            return;
        }
        self.early = match self.early.is_empty() {
            true => bytes,
            false => [bytes, std::mem::take(&mut self.early)].concat().into(),
        };
    }

    pub(super) fn has_unread(&self) -> bool {
        !self.early.is_empty()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.early.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let count = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early.split_to(count));
        }
        if buffer.filled().len() > before {
            self.wire.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, buffer))?;
        self.wire.note(|exchange| exchange.wrote(buffer.get(..written).unwrap_or_default()));
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, buffers))?;
        self.wire.note(|exchange| {
            let mut left = written;
            for buffer in buffers {
                let part = buffer.get(..left.min(buffer.len())).unwrap_or_default();
                exchange.wrote(part);
                left -= part.len();
            }
        });
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.wire.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Buffer {
        _held: Arc<()>,
    }

    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            &[]
        }
    }

    #[test]
    fn an_idle_connection_does_not_keep_the_buffer_of_its_last_request() {
        let used = Arc::new(());
        let mut stream = Metered::new((), Wire::default());
        stream.unread(Bytes::from_owner(Buffer { _held: Arc::clone(&used) }));
        assert_eq!(Arc::strong_count(&used), 1);
    }
}
