use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use super::Error;
use super::fill::{Fill, Stage};
use crate::storage::{self, Blob, ByteStream, Part};

/// How much is read at once.
const CHUNK: u64 = 256 * 1024;

/// Somebody who waits for a blob that is being fetched. As long as there is one, it goes on.
pub(super) struct Following {
    fill: Arc<Fill>,
    stage: watch::Receiver<Stage>,
}

impl Following {
    pub(super) fn new(fill: Arc<Fill>, stage: watch::Receiver<Stage>) -> Self {
        Self { fill, stage }
    }

    /// Opens it as soon as its size is known. Of nothing no byte can be held back: that waits until it is
    /// verified.
    pub(super) async fn open(mut self, part: Part) -> Result<Blob, Error> {
        let stage = self.reach(|stage| match stage {
            Stage::Coming { size, .. } => *size > 0,
            Stage::Asking => false,
            Stage::Kept { .. } | Stage::Failed(_) => true,
        });
        let stage = stage.await?;
        let Stage::Coming { size, .. } = stage else {
            let Fill { shelf, repository, digest, .. } = &*self.fill;
            return Ok(shelf.store.blob_open(repository, digest, part).await?);
        };
        let range = part.resolve(size)?;
        let reading = Reading { following: self, rest: range.clone(), kept: None };
        let bytes = stream::try_unfold(reading, |mut reading| async {
            let next = reading.next().await?;
            Ok(next.map(|bytes| (bytes, reading)))
        });
        Ok(Blob { size, range, bytes: bytes.boxed(), file: None })
    }

    /// Waits until it is verified and stored.
    pub(super) async fn kept(mut self) -> Result<(), Error> {
        self.reach(|stage| matches!(stage, Stage::Kept { .. })).await.map(drop)
    }

    /// The first stage that fits; a failure is an error.
    async fn reach(&mut self, fits: impl Fn(&Stage) -> bool) -> Result<Stage, Error> {
        loop {
            let stage = self.stage.borrow_and_update().clone();
            match stage {
                Stage::Failed(error) => return Err(error),
                stage if fits(&stage) => return Ok(stage),
                _ => {}
            }
            // The sender says how it ends before it goes.
            let _ = self.stage.changed().await;
        }
    }
}

/// A part of a blob as it comes.
struct Reading {
    following: Following,
    rest: Range<u64>,
    /// The rest, once the blob is stored.
    kept: Option<ByteStream>,
}

impl Reading {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        while !self.rest.is_empty() {
            if let Some(kept) = &mut self.kept {
                let bytes = kept.next().await.transpose()?;
                return Ok(bytes.inspect(|bytes| self.rest.start += bytes.len() as u64));
            }
            let start = self.rest.start;
            let ready = |stage: &Stage| match stage {
                Stage::Coming { there, .. } => *there > start,
                Stage::Asking => false,
                Stage::Kept { .. } | Stage::Failed(_) => true,
            };
            let stage = self.following.reach(ready).await.map_err(io::Error::other)?;
            match stage {
                Stage::Coming { upload, there, .. } => {
                    let end = there.min(self.rest.end).min(start.saturating_add(CHUNK));
                    let Fill { shelf, repository, .. } = &*self.following.fill;
                    match shelf.store.upload_read(repository, &upload, start..end).await {
                        Ok(bytes) => {
                            self.rest.start += bytes.len() as u64;
                            return Ok(Some(bytes));
                        }
                        // It has ended since, and how is about to be said.
                        Err(storage::Error::UploadUnknown { .. }) => {
                            let _ = self.following.stage.changed().await;
                        }
                        Err(error) => return Err(io::Error::other(error)),
                    }
                }
                _ => {
                    let part = Part::Between(start, self.rest.end.saturating_sub(1));
                    self.kept = Some(open_kept(Arc::clone(&self.following.fill), part).await?);
                }
            }
        }
        Ok(None)
    }
}

async fn open_kept(fill: Arc<Fill>, part: Part) -> io::Result<ByteStream> {
    let blob = fill.shelf.store.blob_open(&fill.repository, &fill.digest, part).await;
    blob.map(|blob| blob.bytes).map_err(io::Error::other)
}
