use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The bytes of blobs that are on their way between disk and network, of the whole process.
pub(super) static BUFFERS: Buffers = Buffers::new();

/// Large enough that a thread hop for each does not show.
pub(super) const CHUNK: usize = 256 * 1024;

/// What is done with at a time when much is on its way already.
pub(super) const SMALL: usize = 64 * 1024;

/// From here on chunks are small: many at once need no long ones to keep the machine busy.
const MANY: usize = 12 * 1024 * 1024;

/// From here on there is work for every core.
const BUSY: usize = 8 * CHUNK;

/// How many buffers that nobody uses are kept for the next.
const KEPT: usize = 16;

/// Counts what is on its way, and keeps large buffers for reuse.
pub(super) struct Buffers {
    used: AtomicUsize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    const fn new() -> Self {
        Self { used: AtomicUsize::new(0), free: Mutex::new(Vec::new()) }
    }

    /// How many bytes to take at a time now.
    pub(super) fn chunk(&self) -> usize {
        if self.used.load(Ordering::Relaxed) < MANY { CHUNK } else { SMALL }
    }

    /// Whether several are at work.
    pub(super) fn are_busy(&self) -> bool {
        self.used.load(Ordering::Relaxed) > BUSY
    }

    /// Counts so many bytes as long as the value lives.
    pub(super) fn share(&'static self, length: usize) -> Share {
        self.used.fetch_add(length, Ordering::Relaxed);
        Share { buffers: self, length }
    }

    /// A buffer of so many bytes, with whatever is in it.
    pub(super) fn buffer(&'static self, length: usize) -> Buffer {
        let share = self.share(length);
        let kept = if length == CHUNK { self.free().pop() } else { None };
        Buffer { bytes: kept.unwrap_or_else(|| vec![0; length]), share }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that are on their way.
pub(super) struct Share {
    buffers: &'static Buffers,
    length: usize,
}

impl Share {
    pub(super) fn length(&self) -> usize {
        self.length
    }

    pub(super) fn grow(&mut self, more: usize) {
        self.buffers.used.fetch_add(more, Ordering::Relaxed);
        self.length += more;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.buffers.used.fetch_sub(self.length, Ordering::Relaxed);
    }
}

/// A buffer that goes back to where it came from.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    share: Share,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() == CHUNK {
            let mut free = self.share.buffers.free();
            if free.len() < KEPT {
                free.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_small_while_much_is_on_its_way() {
        static OWN: Buffers = Buffers::new();
        assert_eq!(OWN.chunk(), CHUNK);
        let mut share = OWN.share(BUSY);
        assert!(!OWN.are_busy());
        share.grow(MANY);
        assert!(OWN.are_busy());
        assert_eq!(OWN.chunk(), SMALL);
        drop(share);
        assert_eq!(OWN.chunk(), CHUNK);
    }

    #[test]
    fn large_buffers_are_used_again_and_not_hoarded() {
        static OWN: Buffers = Buffers::new();
        let buffers: Vec<Buffer> = (0..KEPT * 2).map(|_| OWN.buffer(CHUNK)).collect();
        assert_eq!(OWN.chunk(), CHUNK);
        drop(buffers);
        drop(OWN.buffer(SMALL));
        assert_eq!(OWN.free().len(), KEPT);
        let again = OWN.buffer(CHUNK);
        assert_eq!((again.as_ref().len(), OWN.free().len()), (CHUNK, KEPT - 1));
    }
}
