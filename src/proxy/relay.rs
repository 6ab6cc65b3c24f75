use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio_util::sync::CancellationToken;

use super::IDLE;
use super::watch::Watch;
use crate::serve::Line;

/// What is under way in one direction, at most.
const BUFFER: usize = 16 * 1024;

/// How long both sides may be silent when one of them has nothing more to say: it may have gone, and the
/// other not care.
const IDLE_WHEN_HALF_CLOSED: Duration = Duration::from_secs(60);

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
    tokio::select! {
        ended = both_ways(one, other, &watch, IDLE, IDLE_WHEN_HALF_CLOSED) => ended,
        () = stopping(line, &watch) => Relayed::Cut,
        () = line.aborted() => Relayed::Cut,
    }
}

async fn both_ways<A, B>(
    one: A,
    other: B,
    watch: &Watch,
    idle: Duration,
    idle_when_half_closed: Duration,
) -> Relayed
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let half_closed = CancellationToken::new();
    let (mut from_one, mut to_one) = split(one);
    let (mut from_other, mut to_other) = split(other);
    let both = async {
        tokio::try_join!(
            carry(&mut from_one, &mut to_other, watch, &half_closed),
            carry(&mut from_other, &mut to_one, watch, &half_closed),
        )
    };
    let silence_of_one = async {
        half_closed.cancelled().await;
        watch.standstill(idle_when_half_closed).await;
    };
    tokio::select! {
        ended = both => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a tunnel broke off");
            }
            Relayed::Ended
        }
        () = watch.standstill(idle) => Relayed::Idle,
        () = silence_of_one => Relayed::Idle,
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
    half_closed: &CancellationToken,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        watch.touch();
        let Some(read) = buffer.get(..length).filter(|read| !read.is_empty()) else {
            half_closed.cancel();
            return to.shutdown().await;
        };
        to.write_all(read).await?;
        to.flush().await?;
        watch.touch();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::duplex;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_tunnel_one_side_has_left_ends_though_the_other_does_not_care() {
        let ((client, here), (there, mut host)) = (duplex(64), duplex(64));
        drop(client);
        let watch = Watch::new();
        assert_eq!(both_ways(here, there, &watch, LONG, SHORT).await, Relayed::Idle);
        assert_eq!(host.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_tunnel_nobody_says_anything_in_ends() {
        let ((_client, here), (there, _host)) = (duplex(64), duplex(64));
        assert_eq!(both_ways(here, there, &Watch::new(), SHORT, LONG).await, Relayed::Idle);
    }

    #[tokio::test]
    async fn who_has_said_all_may_still_hear_the_other_out() {
        let ((mut client, here), (there, mut host)) = (duplex(64), duplex(64));
        let watch = Watch::new();
        let answering = async {
            client.shutdown().await.unwrap();
            for _ in 0..4 {
                tokio::time::sleep(SHORT).await;
                host.write_all(b"word").await.unwrap();
            }
            drop(host);
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            heard.len()
        };
        let (ended, heard) =
            tokio::join!(both_ways(here, there, &watch, LONG, SHORT * 3), answering);
        assert_eq!((ended, heard), (Relayed::Ended, 16));
    }
}
