use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What goes over a connection in place of the answer that is written next; then it ends.
#[derive(Default)]
pub(super) struct Script(Mutex<Option<Bytes>>);

impl Script {
    pub(super) fn send(&self, bytes: Bytes) {
        *self.0.lock().unwrap() = Some(bytes);
    }
}

/// A connection that does as its script says.
pub(super) struct Wire<S> {
    inner: S,
    script: Arc<Script>,
}

impl<S> Wire<S> {
    pub(super) fn new(inner: S, script: Arc<Script>) -> Self {
        Self { inner, script }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { inner, script } = self.get_mut();
        let mut inner = Pin::new(inner);
        let mut scripted = script.0.lock().unwrap();
        let Some(left) = scripted.as_mut() else {
            return inner.poll_write(context, bytes);
        };
        while left.has_remaining() {
            let written = ready!(inner.as_mut().poll_write(context, left))?;
            left.advance(written);
        }
        ready!(inner.poll_flush(context))?;
        Poll::Ready(Err(io::Error::other("all that was to be said is said")))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
