use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use super::Error;
use super::error::is_absent;
use super::fill::{Content, Fill, Stage};
use crate::storage::{Blob, Part};

/// Somebody who waits for a blob that is being fetched. As long as there is one, it goes on.
pub(super) struct Following {
    fill: Arc<Fill>,
    stage: watch::Receiver<Stage>,
}

/// Somebody who takes a blob over.
pub(super) struct Keeper(Arc<Fill>);

impl Keeper {
    fn new(fill: &Arc<Fill>) -> Self {
        fill.keepers.come();
        Self(Arc::clone(fill))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.keepers.go();
    }
}

/// How far a blob is of which the size is known.
struct Reached {
    content: Option<Content>,
    size: u64,
    there: u64,
    is_kept: bool,
}

impl Following {
    pub(super) fn new(fill: Arc<Fill>, stage: watch::Receiver<Stage>) -> Self {
        Self { fill, stage }
    }

    /// Opens it as soon as its size is known. Of nothing no byte can be held back: that waits until it is
    /// verified.
    pub(super) async fn open(mut self, part: Part) -> Result<Blob, Error> {
        let Reached { content, size, is_kept, .. } =
            self.reach(|reached| reached.size > 0 || reached.is_kept).await?;
        if is_kept {
            let Fill { shelf, repository, digest, .. } = &*self.fill;
            match shelf.store.blob_open(repository, digest, part).await {
                // It had to make room since.
                Err(error) if is_absent(&error) && content.is_some() => {}
                opened => return Ok(opened?),
            }
        }
        let range = part.resolve(size)?;
        let reading = Reading { following: self, rest: range.clone() };
        let bytes = stream::try_unfold(reading, |mut reading| async {
            let next = reading.next().await?;
            Ok(next.map(|bytes| (bytes, reading)))
        });
        Ok(Blob { size, range, bytes: bytes.boxed(), file: None })
    }

    /// Waits until it is verified and stored. It does not have to make room before the value is dropped.
    pub(super) async fn kept(mut self) -> Result<Keeper, Error> {
        let keeper = Keeper::new(&self.fill);
        self.reach(|reached| reached.is_kept).await.map(|_| keeper)
    }

    /// The first that fits; a failure is an error.
    async fn reach(&mut self, fits: impl Fn(&Reached) -> bool) -> Result<Reached, Error> {
        loop {
            let stage = self.stage.borrow_and_update().clone();
            let reached = match stage {
                Stage::Failed(error) => return Err(error),
                Stage::Asking => None,
                Stage::Coming { content, size, there } => {
                    Some(Reached { content, size, there, is_kept: false })
                }
                Stage::Kept { content, size } => {
                    Some(Reached { content, size, there: size, is_kept: true })
                }
            };
            if let Some(reached) = reached.filter(&fits) {
                return Ok(reached);
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
}

impl Reading {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let start = self.rest.start;
        if self.rest.is_empty() {
            return Ok(None);
        }
        let reached = self.following.reach(|reached| reached.there > start).await;
        let Reached { content, there, .. } = reached.map_err(io::Error::other)?;
        let content = content.ok_or_else(|| io::Error::other("there is nothing to read from"))?;
        let bytes = content.read(start..there.min(self.rest.end)).await?;
        self.rest.start += bytes.len() as u64;
        Ok(Some(bytes))
    }
}
