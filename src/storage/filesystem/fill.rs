use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::{JoinHandle, spawn_blocking};

use super::buffers::{BUFFERS, SMALL, Share};
use super::uploads::Writer;
use super::{Filesystem, did_not_finish};
use crate::oci::Digester;
use crate::storage::{ByteStream, Error};

/// How many bytes of an upload that has to last may wait for the disk before it begins with them.
const EARLY: u64 = 4 * 1024 * 1024;

/// Bytes of an upload, and whether the stream broke behind them.
struct Batch {
    parts: Vec<Bytes>,
    share: Share,
    result: std::io::Result<()>,
}

impl Filesystem {
    /// Writes `bytes`, gathering the next batch while the last is written and hashed.
    pub(super) async fn fill(
        &self,
        mut writer: Writer,
        mut bytes: ByteStream,
    ) -> Result<Writer, Error> {
        let mut ended = false;
        let mut early = EarlySync::new(&writer);
        let mut batch = gather(&mut bytes, &mut ended).await;
        loop {
            let Batch { parts, share, result } = batch;
            let writing = self.append(writer, parts, share);
            if ended {
                writer = writing.await?;
                early.end().await?;
                return result.map_err(Error::BrokenOff).map(|()| writer);
            }
            let (written, next) = tokio::join!(writing, gather(&mut bytes, &mut ended));
            writer = written?;
            early.go_on(self, &writer).await?;
            batch = next;
        }
    }

    /// One thread writes while another hashes, where there are threads for it: a batch that is small, or
    /// one of many, is faster on one.
    async fn append(
        &self,
        mut writer: Writer,
        parts: Vec<Bytes>,
        share: Share,
    ) -> Result<Writer, Error> {
        let length = parts.iter().map(|part| part.len() as u64).sum();
        let digester = writer.digester();
        if share.length() <= SMALL || BUFFERS.are_busy() {
            let writing = self.blocking(move |inner| {
                inner.write(&mut writer, &parts)?;
                writer.wrote(length, hash(digester, &parts));
                drop(share);
                Ok(writer)
            });
            return writing.await;
        }
        let same = parts.clone();
        let hashing = spawn_blocking(move || hash(digester, &same));
        let writing = self.blocking(move |inner| {
            inner.write(&mut writer, &parts)?;
            Ok(writer)
        });
        let (written, hashed) = tokio::join!(writing, hashing);
        let mut writer = written?;
        writer.wrote(length, hashed.map_err(did_not_finish)?);
        drop(share);
        Ok(writer)
    }
}

/// Brings what has come to the disk while more comes, so that little is left to wait for at the end. One
/// sync at a time; none where nothing has to last.
struct EarlySync {
    /// Up to where.
    synced: u64,
    under_way: Option<JoinHandle<Result<(), Error>>>,
}

impl EarlySync {
    fn new(writer: &Writer) -> Self {
        Self { synced: writer.offset(), under_way: None }
    }

    async fn go_on(&mut self, store: &Filesystem, writer: &Writer) -> Result<(), Error> {
        let is_busy = self.under_way.as_ref().is_some_and(|sync| !sync.is_finished());
        if is_busy || writer.offset() - self.synced < EARLY {
            return Ok(());
        }
        self.end().await?;
        if let Some(sync) = store.inner.early_sync(writer)? {
            let inner = Arc::clone(&store.inner);
            self.synced = writer.offset();
            self.under_way = Some(spawn_blocking(move || sync(&inner)));
        }
        Ok(())
    }

    /// The system tells of bytes it could not write only once: not to hear it here would lose them.
    async fn end(&mut self) -> Result<(), Error> {
        match self.under_way.take() {
            Some(sync) => sync.await.map_err(did_not_finish)?,
            None => Ok(()),
        }
    }
}

fn hash(mut digester: Digester, parts: &[Bytes]) -> Digester {
    parts.iter().for_each(|part| digester.update(part));
    digester
}

async fn gather(bytes: &mut ByteStream, ended: &mut bool) -> Batch {
    let mut batch = Batch { parts: Vec::new(), share: BUFFERS.share(0), result: Ok(()) };
    while batch.share.length() < BUFFERS.chunk() {
        match bytes.next().await {
            Some(Ok(part)) => {
                batch.share.grow(part.len());
                batch.parts.push(part);
            }
            end => {
                *ended = true;
                batch.result = end.map_or(Ok(()), |end| end.map(drop));
                break;
            }
        }
    }
    batch
}
