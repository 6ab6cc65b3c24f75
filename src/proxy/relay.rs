use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

use super::watch::Watch;
use crate::serve::Line;

/// What is under way in one direction, at most.
const BUFFER: usize = 16 * 1024;

/// How long both sides may be silent: a registry that checks a large upload says nothing meanwhile.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// How long, while the server is stopping.
const IDLE_WHEN_STOPPING: Duration = Duration::from_secs(3);

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relayed {
    /// Both sides were done, or one broke off.
    Ended,
    /// Nobody said anything for too long.
    Idle,
    /// The server ends.
    Cut,
}

/// Carries bytes both ways, unseen, until both sides are done. A side that is done with sending may
/// still receive.
pub async fn relay<A, B>(one: A, other: B, line: &Line) -> Relayed
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let watch = Watch::new();
    let (mut from_one, mut to_one) = split(one);
    let (mut from_other, mut to_other) = split(other);
    let both = async {
        tokio::try_join!(
            carry(&mut from_one, &mut to_other, &watch),
            carry(&mut from_other, &mut to_one, &watch),
        )
    };
    tokio::select! {
        ended = both => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a tunnel broke off");
            }
            Relayed::Ended
        }
        () = watch.standstill(IDLE) => Relayed::Idle,
        () = stopping(line, &watch) => Relayed::Cut,
        () = line.aborted() => Relayed::Cut,
    }
}

/// A tunnel nobody uses does not hold up the end of the server; one that is used may go on.
async fn stopping(line: &Line, watch: &Watch) {
    line.stopped().await;
    watch.standstill(IDLE_WHEN_STOPPING).await;
}

async fn carry(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    watch: &Watch,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        watch.touch();
        let Some(read) = buffer.get(..length).filter(|read| !read.is_empty()) else {
            return to.shutdown().await;
        };
        to.write_all(read).await?;
        to.flush().await?;
        watch.touch();
    }
}
