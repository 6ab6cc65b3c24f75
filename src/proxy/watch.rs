use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// When something moved last.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    start: Instant,
    /// Milliseconds after the start.
    moved: Arc<AtomicU64>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), moved: Arc::default() }
    }

    /// Something moves now.
    pub(super) fn touch(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    /// Done when nothing has moved for so long.
    pub(super) async fn standstill(&self, limit: Duration) {
        loop {
            let moved = self.start + Duration::from_millis(self.moved.load(Ordering::Relaxed));
            let end = moved + limit;
            if Instant::now() >= end {
                return;
            }
            sleep_until(end).await;
        }
    }
}

/// A body on its way through: its data only, and not with pauses longer than `limit`.
pub(super) struct Through<B> {
    body: B,
    watch: Watch,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    count: Option<Arc<AtomicU64>>,
}

impl<B> Through<B> {
    pub(super) fn new(body: B, watch: Watch, limit: Duration) -> Self {
        Self { body, watch, limit, timer: None, count: None }
    }

    /// With what its bytes are added to.
    pub(super) fn counted(self, count: Arc<AtomicU64>) -> Self {
        Self { count: Some(count), ..self }
    }
}

impl<B> Body for Through<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(frame) => {
                    self.timer = None;
                    self.watch.touch();
                    match frame {
                        None => return Poll::Ready(None),
                        Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                        Some(Ok(frame)) if frame.is_data() => {
                            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                            if let Some(count) = &self.count {
                                count.fetch_add(length, Ordering::Relaxed);
                            }
                            return Poll::Ready(Some(Ok(frame)));
                        }
                        // Trailers could add what headers were stripped of.
                        Some(Ok(_)) => continue,
                    }
                }
                Poll::Pending => {
                    let limit = self.limit;
                    let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
                    return timer
                        .as_mut()
                        .poll(context)
                        .map(|()| Some(Err(io::ErrorKind::TimedOut.into())));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
