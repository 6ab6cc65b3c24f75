use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::reader::Reader;
use crate::client::{self, BlobStream};
use crate::oci::Descriptor;

/// How much of a file is read at once.
const CHUNK: usize = 256 * 1024;

/// A blob that several registries need. It is read once, into a file without a name, and all are fed from
/// there while it still comes, each at its own pace.
#[derive(Debug)]
pub(super) struct Shared {
    from: Reader,
    spool: Mutex<Option<Arc<Spool>>>,
    /// How many repositories still need it.
    left: AtomicUsize,
}

#[derive(Debug)]
struct Spool {
    file: File,
    state: watch::Receiver<State>,
    /// What went wrong, for the first who asks; others get its words.
    error: Mutex<Option<client::Error>>,
    filling: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Clone)]
enum State {
    /// So many bytes are there.
    At(u64),
    Whole(u64),
    Failed(String),
}

impl Shared {
    pub(super) fn new(from: Reader, needed_by: usize) -> Self {
        Self { from, spool: Mutex::default(), left: AtomicUsize::new(needed_by) }
    }

    pub(super) fn from(&self) -> &Reader {
        &self.from
    }

    /// The bytes, as of a source.
    pub(super) fn blob(&self, blob: &Descriptor) -> BlobStream {
        let spool = self.spool(blob).map_err(|error| client::Error::Source {
            doing: format!("making a temporary file for {}", blob.digest),
            source: error.into(),
        });
        let doing = format!("reading {}", blob.digest);
        match spool {
            Ok(spool) => stream::try_unfold((spool, 0), move |(spool, offset)| {
                let doing = doing.clone();
                async move {
                    let next = spool.next(offset, &doing).await?;
                    Ok(next.map(|bytes| {
                        let offset = offset + bytes.len() as u64;
                        (bytes, (spool, offset))
                    }))
                }
            })
            .boxed(),
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        }
    }

    /// One repository has it; the file goes with the last.
    pub(super) fn done(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            *lock(&self.spool) = None;
        }
    }

    /// The file, which is begun anew where it failed.
    fn spool(&self, blob: &Descriptor) -> std::io::Result<Arc<Spool>> {
        let mut held = lock(&self.spool);
        if let Some(spool) = held.as_ref()
            && !matches!(*spool.state.borrow(), State::Failed(_))
        {
            return Ok(Arc::clone(spool));
        }
        let file = tempfile::tempfile()?;
        let (tell, state) = watch::channel(State::At(0));
        let spool = Arc::new(Spool {
            file: file.try_clone()?,
            state,
            error: Mutex::default(),
            filling: Mutex::default(),
        });
        let filling = tokio::spawn(fill(self.from.blob(blob), file, tell, Arc::downgrade(&spool)));
        *lock(&spool.filling) = Some(filling);
        *held = Some(Arc::clone(&spool));
        Ok(spool)
    }
}

async fn fill(
    mut blob: BlobStream,
    file: File,
    tell: watch::Sender<State>,
    spool: std::sync::Weak<Spool>,
) {
    let file = Arc::new(file);
    let mut offset = 0;
    let failed = loop {
        let bytes = match blob.try_next().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                tell.send_replace(State::Whole(offset));
                return;
            }
            Err(error) => break error,
        };
        let length = bytes.len() as u64;
        let to = Arc::clone(&file);
        let written = tokio::task::spawn_blocking(move || to.write_all_at(&bytes, offset)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            let doing = "writing a temporary file".to_owned();
            break client::Error::Source { doing, source: error.into() };
        }
        offset += length;
        tell.send_replace(State::At(offset));
    };
    let words = failed.to_string();
    if let Some(spool) = spool.upgrade() {
        *lock(&spool.error) = Some(failed);
    }
    tell.send_replace(State::Failed(words));
}

impl Spool {
    /// What comes at `offset`, when it is there.
    async fn next(
        self: &Arc<Self>,
        offset: u64,
        doing: &str,
    ) -> Result<Option<Bytes>, client::Error> {
        let fail = |reason: String| client::Error::Source {
            doing: doing.to_owned(),
            source: reason.into(),
        };
        let mut state = self.state.clone();
        let reached = state
            .wait_for(|state| match state {
                State::At(there) => *there > offset,
                State::Whole(_) | State::Failed(_) => true,
            })
            .await
            .map_err(|_| fail("the reading of it broke off".to_owned()))?
            .clone();
        let there = match reached {
            State::At(there) | State::Whole(there) => there,
            State::Failed(words) => {
                return Err(lock(&self.error).take().unwrap_or_else(|| fail(words)));
            }
        };
        if there == offset {
            return Ok(None);
        }
        let length = usize::try_from(there - offset).unwrap_or(CHUNK).min(CHUNK);
        let spool = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; length];
            spool.file.read_exact_at(&mut bytes, offset).map(|()| Bytes::from(bytes))
        });
        let read = read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        read.map(Some).map_err(|error| fail(error.to_string()))
    }
}

/// Nobody waits for it any more.
impl Drop for Spool {
    fn drop(&mut self) {
        if let Some(filling) = lock(&self.filling).take() {
            filling.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
