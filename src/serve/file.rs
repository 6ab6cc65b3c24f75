use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::sendfile;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Limits;
use super::sent::Metered;
use super::stall::took_nothing;

/// How much one thread sends before others have their turn.
const STEP: u64 = 64 * 1024 * 1024;

/// For how long a thread waits for a client that keeps up: 2 ms.
const SOON: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// The part of a file that is the body of an answer: an extension of the answer, beside a body of the
/// same bytes. Where there is no TLS, the system sends it (sendfile(2)) and the body is not asked.
#[derive(Clone)]
pub struct FileBody {
    file: Arc<File>,
    range: Range<u64>,
    passed: Arc<dyn Fn(u64) + Send + Sync>,
}

impl FileBody {
    /// These bytes of a file; `passed` is told how many more have left.
    pub fn new(
        file: Arc<File>,
        range: Range<u64>,
        passed: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        Self { file, range, passed: Arc::new(passed) }
    }

    pub(super) fn length(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// Sends it through the socket of a stream. No thread waits for a slow client.
    ///
    /// # Errors
    /// The client has gone, or took nothing for too long; or the file cannot be read.
    pub(super) async fn send<S: Send + 'static>(
        &mut self,
        mut stream: Metered<S>,
        socket: fn(&S) -> &TcpStream,
        limits: &Limits,
    ) -> io::Result<Metered<S>> {
        while !self.range.is_empty() {
            let (file, mut range) = (Arc::clone(&self.file), self.range.clone());
            // The file may have to be read from the disk.
            let step = spawn_blocking(move || {
                let blocked = step(&file, &mut range, socket(stream.get_ref()));
                (stream, range, blocked)
            });
            let (same, rest, blocked) = step.await?;
            stream = same;
            (self.passed)(rest.start - self.range.start);
            self.range = rest;
            if blocked? {
                let writable = timeout(limits.stall, socket(stream.get_ref()).writable());
                writable.await.map_err(|_| took_nothing(limits.stall))??;
            }
        }
        Ok(stream)
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody").field("range", &self.range).finish_non_exhaustive()
    }
}

/// Sends as much as the socket takes without a pause, and moves the start of the range behind it; says
/// whether the socket takes no more now. Blocking.
fn step(file: &File, range: &mut Range<u64>, socket: &TcpStream) -> io::Result<bool> {
    let end = range.end.min(range.start.saturating_add(STEP));
    while range.start < end {
        let count = usize::try_from(end - range.start).map_err(io::Error::other)?;
        match sendfile(socket, file, Some(&mut range.start), count) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if is_writable_soon(socket) => {}
            Err(Errno::AGAIN) => {
                // Asked through the runtime, so that it knows for what it has to wait.
                let asked = socket.try_io(Interest::WRITABLE, || {
                    Ok(sendfile(socket, file, Some(&mut range.start), count)?)
                });
                return match asked {
                    Ok(_) => Ok(false),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
                    Err(error) => Err(error),
                };
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

/// A reader that keeps up takes something at once: going to sleep and being woken for each buffer would
/// cost more than sending it.
fn is_writable_soon(socket: &TcpStream) -> bool {
    let mut sockets = [PollFd::new(socket, PollFlags::OUT)];
    matches!(poll(&mut sockets, Some(&SOON)), Ok(1..))
}
