use std::io::Read;
use std::mem;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::{BlobStream, Error, Image};
use crate::oci::{Descriptor, Digester};

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// How many chunks are read ahead.
const AHEAD: usize = 2;

type Chunks = mpsc::Sender<Result<Bytes, Error>>;

/// Reads and hashes on a thread that may block, a little ahead of whoever takes the bytes.
pub(super) fn stream(image: Image, blob: Descriptor) -> BlobStream {
    let begin = async move {
        let (sender, receiver) = mpsc::channel(AHEAD);
        spawn_blocking(move || {
            if let Err(error) = send(&image, &blob, &sender) {
                // Nobody is left to be told where nobody takes the bytes.
                let _ = sender.blocking_send(Err(error));
            }
        });
        stream::unfold(receiver, |mut chunks| async { Some((chunks.recv().await?, chunks)) })
    };
    stream::once(begin).flatten().boxed()
}

/// Holds the newest bytes back: the last ones are sent only when the digest is right.
fn send(image: &Image, blob: &Descriptor, chunks: &Chunks) -> Result<(), Error> {
    let mut part = image.sized_part(blob)?;
    let mut digester = Digester::new(blob.digest.algorithm());
    let mut held = Bytes::new();
    while part.size() > 0 {
        let length = usize::try_from(part.size()).map_or(CHUNK, |size| size.min(CHUNK));
        let mut chunk = BytesMut::zeroed(length);
        part.read_exact(&mut chunk).map_err(|source| image.unreadable(&blob.digest, source))?;
        digester.update(&chunk);
        let ready = mem::replace(&mut held, chunk.freeze());
        if !ready.is_empty() && chunks.blocking_send(Ok(ready)).is_err() {
            return Ok(());
        }
    }
    let found = digester.finish();
    if found != blob.digest {
        return Err(image.damaged(format!("the digest of {} is {found}", blob.digest)));
    }
    if !held.is_empty() {
        let _ = chunks.blocking_send(Ok(held));
    }
    Ok(())
}
