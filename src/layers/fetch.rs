use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};

use super::error::{Error, Verdict};
use super::fill::{Content, Fill, Fills, Stage};
use super::room::{PATIENCE, Place};
use super::source::{Key, Source};
use crate::client::{BlobStream, OpenBlob};
use crate::storage::{self, UploadId};

/// How many bytes are gathered before they are written, if so many are there already.
const BATCH: usize = 256 * 1024;

/// How long an answer is held open while a blob waits for its room: the other side is asked for no more than
/// so many things at once.
const SHORT: Duration = Duration::from_secs(1);

/// Fetches one blob.
pub(super) struct Task {
    pub(super) fills: Arc<Fills>,
    pub(super) key: Key,
    pub(super) fill: Arc<Fill>,
    pub(super) source: Source,
}

impl Drop for Task {
    /// Also when the task ends by a panic, readers learn that nothing comes.
    fn drop(&mut self) {
        let reason = "the fetch ended".to_owned();
        self.fill.stage.send_if_modified(|stage| {
            let open = matches!(stage, Stage::Asking | Stage::Coming { .. });
            if open {
                *stage = Stage::Failed(self.source.failed(reason));
            }
            open
        });
        let mut running = self.fills.lock();
        // Where nobody waited any more it has gone from there, and another may have come.
        if running.get(&self.key).is_some_and(|fill| Arc::ptr_eq(fill, &self.fill)) {
            running.remove(&self.key);
        }
    }
}

impl Task {
    pub(super) async fn run(self) {
        let stage = match self.fetch().await {
            Ok((size, content)) => Stage::Kept { content, size },
            Err(error) => {
                if !error.is_absence() {
                    tracing::warn!(digest = %self.fill.digest, repository = %self.fill.repository, %error, "a blob was not fetched");
                }
                Stage::Failed(error)
            }
        };
        self.fill.stage.send_replace(stage);
    }

    async fn fetch(&self) -> Result<(u64, Option<Content>), Error> {
        let Fill { shelf, repository, digest, .. } = &*self.fill;
        // Somebody's fetch may have ended between a look at the shelf and this.
        if let Ok(size) = shelf.store.blob_size(repository, digest).await {
            return Ok((size, None));
        }
        // One for the whole fetch: the time of grace does not begin anew with every byte.
        let mut deserted = pin!(self.deserted());
        let (opened, place) = tokio::select! {
            opened = self.open_with_room() => opened?,
            () = &mut deserted => return Err(self.nobody()),
        };
        let upload = shelf.store.upload_create(repository).await?;
        let result = self.receive(&upload, opened, deserted).await;
        match &result {
            Ok(_) => self.fill.keepers.settle(place.taken()),
            Err(_) => {
                // It is gone already where the digest was wrong.
                let _ = shelf.store.upload_cancel(repository, &upload).await;
            }
        }
        result
    }

    /// The other side says how large it is. Where there is no room for it soon, it is asked again when there is.
    async fn open_with_room(&self) -> Result<(OpenBlob, Place), Error> {
        let Fill { shelf, digest, .. } = &*self.fill;
        let opened = self.open().await?;
        let size = opened.size;
        let make = |patience| shelf.room.make(&*shelf.store, digest, size, patience);
        match make(SHORT).await {
            Ok(place) => return Ok((opened, place)),
            Err(Error::Full { limit }) if size <= limit => drop(opened),
            Err(error) => return Err(error),
        }
        let place = make(PATIENCE).await?;
        let opened = self.open().await?;
        if opened.size != size {
            return Err(self.source.failed(format!("blob {digest} has another size than before")));
        }
        Ok((opened, place))
    }

    async fn open(&self) -> Result<OpenBlob, Error> {
        let Fill { repository, digest, .. } = &*self.fill;
        let limit = self.fills.limits().blob;
        let asking = self.source.may_ask(false)?;
        let absent = |reason: String| Error::BlobAbsent {
            repository: repository.clone(),
            digest: digest.clone(),
            reason,
        };
        let answer = asking.repository.open_blob(digest).await;
        match asking.heard(answer) {
            Ok(Some(opened)) if opened.size > limit => {
                Err(Error::TooLarge { what: format!("blob {digest}"), limit })
            }
            Ok(Some(opened)) => Ok(opened),
            Ok(None) => Err(absent(format!("{} does not have it", self.source.place))),
            Err(error) => match Verdict::of(&self.source.place, &error) {
                Verdict::Absent(reason) => Err(absent(reason)),
                Verdict::Unreachable(error) | Verdict::Broken(error) => Err(error),
            },
        }
    }

    async fn receive(
        &self,
        upload: &UploadId,
        opened: OpenBlob,
        mut deserted: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(u64, Option<Content>), Error> {
        let Fill { shelf, repository, digest, stage, .. } = &*self.fill;
        let OpenBlob { size, mut bytes } = opened;
        let mut content: Option<Content> = None;
        stage.send_replace(Stage::Coming { content: None, size, there: 0 });
        let mut batch = self.gather(&mut bytes, deserted.as_mut()).await?;
        while !batch.is_empty() {
            let parts = stream::iter(std::mem::take(&mut batch).into_iter().map(Ok)).boxed();
            let writing = async {
                let offset = shelf.store.upload_append(repository, upload, None, parts).await?;
                if content.is_none() {
                    content = Some(shelf.store.upload_open(repository, upload).await?);
                }
                // Nobody gets to the end before the digest is verified.
                let there = offset.min(size.saturating_sub(1));
                stage.send_replace(Stage::Coming { content: content.clone(), size, there });
                Ok::<_, Error>(())
            };
            let gathering = self.gather(&mut bytes, deserted.as_mut());
            let (written, next) = tokio::join!(writing, gathering);
            written?;
            batch = next?;
        }
        match shelf.store.upload_finish(repository, upload, digest).await {
            Ok(size) => {
                self.source.fetched(size);
                Ok((size, content))
            }
            Err(error @ storage::Error::DigestMismatch { .. }) => {
                Err(self.source.failed(error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What has come, at least something; nothing at the end.
    async fn gather(
        &self,
        bytes: &mut BlobStream,
        deserted: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Vec<Bytes>, Error> {
        let mut batch = Vec::new();
        let mut length = 0;
        let mut next = tokio::select! {
            next = bytes.next() => Some(next),
            () = deserted => return Err(self.nobody()),
        };
        while let Some(Some(part)) = next {
            let part = part.map_err(|error| match Verdict::of(&self.source.place, &error) {
                Verdict::Absent(reason) => self.source.failed(reason),
                Verdict::Unreachable(error) | Verdict::Broken(error) => error,
            })?;
            length += part.len();
            batch.push(part);
            next = if length < BATCH { bytes.next().now_or_never() } else { None };
        }
        Ok(batch)
    }

    /// Ends when nobody has waited for the blob for the time of grace. Whoever comes later starts anew.
    async fn deserted(&self) {
        let stage = &self.fill.stage;
        loop {
            stage.closed().await;
            tokio::time::sleep(self.fills.limits().grace.max(Duration::from_millis(1))).await;
            // Nobody subscribes while the list is locked.
            let mut running = self.fills.lock();
            if stage.receiver_count() == 0 {
                running.remove(&self.key);
                return;
            }
        }
    }

    fn nobody(&self) -> Error {
        self.source.failed("nobody waits for it any more".to_owned())
    }
}
