use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use tokio::task::{JoinHandle, spawn_blocking};

use super::buffers::{BUFFERS, CHUNK, SMALL};
use crate::storage::{ByteStream, UploadBytes};

/// What is not longer is read at once.
pub(super) const WHOLE: u64 = CHUNK as u64;

/// A part of a file as a stream, one chunk read ahead. No thread is held while a slow reader makes up
/// its mind.
pub(super) struct Reader {
    file: Arc<File>,
    rest: Range<u64>,
    ahead: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Reader {
    /// What fits into one chunk is read now (blocking), more as the stream is polled.
    pub(super) fn open(file: Arc<File>, range: Range<u64>) -> io::Result<ByteStream> {
        if range.end.saturating_sub(range.start) <= WHOLE {
            let bytes = read(&file, range)?;
            return Ok(stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed());
        }
        let reader = Self { file, rest: range, ahead: None };
        let rest = stream::unfold(reader, |mut reader| async {
            let read = reader.ahead.take().or_else(|| reader.spawn_read())?;
            reader.ahead = reader.spawn_read();
            let bytes = match read.await {
                Ok(bytes) => bytes,
                Err(error) => Err(io::Error::other(error)),
            };
            if bytes.is_err() {
                reader.rest = 0..0;
                reader.ahead = None;
            }
            Some((bytes, reader))
        });
        Ok(rest.boxed())
    }

    fn spawn_read(&mut self) -> Option<JoinHandle<io::Result<Bytes>>> {
        let chunk = self.next_chunk()?;
        let file = Arc::clone(&self.file);
        Some(spawn_blocking(move || read(&file, chunk)))
    }

    fn next_chunk(&mut self) -> Option<Range<u64>> {
        let start = self.rest.start;
        let end = self.rest.end.min(start.saturating_add(BUFFERS.chunk() as u64));
        self.rest.start = end;
        (start < end).then_some(start..end)
    }
}

/// An upload that is read while it is written.
pub(super) struct Coming(pub(super) Arc<File>);

#[async_trait]
impl UploadBytes for Coming {
    async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let most = range.start.saturating_add(BUFFERS.chunk() as u64);
        let (file, chunk) = (Arc::clone(&self.0), range.start..range.end.min(most));
        spawn_blocking(move || read(&file, chunk)).await?
    }
}

fn read(file: &File, chunk: Range<u64>) -> io::Result<Bytes> {
    let length =
        usize::try_from(chunk.end.saturating_sub(chunk.start)).map_err(io::Error::other)?;
    if length < SMALL {
        let mut bytes = BytesMut::zeroed(length);
        file.read_exact_at(&mut bytes, chunk.start)?;
        return Ok(bytes.freeze());
    }
    let mut buffer = BUFFERS.buffer(length);
    file.read_exact_at(buffer.as_mut(), chunk.start)?;
    Ok(Bytes::from_owner(buffer))
}
