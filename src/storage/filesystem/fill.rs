use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::spawn_blocking;

use super::buffers::{BUFFERS, SMALL, Share};
use super::uploads::Writer;
use super::{Filesystem, did_not_finish};
use crate::oci::Digester;
use crate::storage::{ByteStream, Error};

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
        let mut batch = gather(&mut bytes, &mut ended).await;
        loop {
            let Batch { parts, share, result } = batch;
            let writing = self.append(writer, parts, share);
            if ended {
                writer = writing.await?;
                return result.map_err(Error::BrokenOff).map(|()| writer);
            }
            let (written, next) = tokio::join!(writing, gather(&mut bytes, &mut ended));
            writer = written?;
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
