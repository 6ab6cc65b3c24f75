use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Error;
use super::source::Shelf;

/// How long a blob waits for others to have come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of what was fetched may be kept, shelf by shelf.
pub(super) struct Rooms {
    limit: Option<u64>,
    shelves: Mutex<HashMap<&'static str, Arc<Room>>>,
}

/// How much one shelf holds.
#[derive(Default)]
struct Room {
    taken: Mutex<Taken>,
    /// Held by who makes room.
    making: tokio::sync::Mutex<()>,
    /// A blob comes no more.
    ended: Notify,
}

/// Bytes of one shelf.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    /// Of blobs that were kept when they were last counted; nothing before that.
    counted: Option<u64>,
    /// Of blobs that came since then. A blob that came while they were counted may be among both: there is
    /// never more than is known of.
    came: u64,
    /// Of blobs that come.
    coming: u64,
}

/// Room for a blob that comes; free again when it does not.
pub(super) struct Place {
    room: Arc<Room>,
    size: u64,
    kept: bool,
}

impl Rooms {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { limit, shelves: Mutex::default() }
    }

    /// Makes room for a blob of `size` bytes: blobs nobody has asked for the longest go. Where those that
    /// come are in the way, it waits for them.
    pub(super) async fn make(&self, shelf: &Shelf, size: u64) -> Result<Place, Error> {
        let room = Arc::clone(lock(&self.shelves).entry(shelf.name).or_default());
        let Some(limit) = self.limit else { return Ok(room.take(size)) };
        // For what does not fit anyway nothing has to go.
        if size > limit {
            return Err(Error::Full { limit });
        }
        let made = tokio::time::timeout(PATIENCE, room.make(limit, shelf, size)).await;
        made.unwrap_or(Err(Error::Full { limit }))
    }
}

impl Room {
    async fn make(self: Arc<Self>, limit: u64, shelf: &Shelf, size: u64) -> Result<Place, Error> {
        let _alone = self.making.lock().await;
        loop {
            let taken = *lock(&self.taken);
            let Some(for_kept) = limit.checked_sub(taken.coming.saturating_add(size)) else {
                // One that ended since is remembered.
                self.ended.notified().await;
                continue;
            };
            if taken.kept().is_none_or(|kept| kept > for_kept) {
                let left = shelf.store.evict(for_kept).await?;
                lock(&self.taken).counted(left, taken.came);
                if left > for_kept {
                    return Err(Error::Full { limit });
                }
            }
            return Ok(Arc::clone(&self).take(size));
        }
    }

    fn take(self: Arc<Self>, size: u64) -> Place {
        lock(&self.taken).coming += size;
        Place { room: self, size, kept: false }
    }
}

impl Taken {
    /// Of blobs that are kept, where that is known.
    fn kept(&self) -> Option<u64> {
        self.counted.map(|counted| counted.saturating_add(self.came))
    }

    /// So much was found, when so much had come.
    fn counted(&mut self, found: u64, came: u64) {
        self.counted = Some(found);
        self.came = self.came.saturating_sub(came);
    }

    /// One comes no more, and is kept or not.
    fn ended(&mut self, size: u64, is_kept: bool) {
        self.coming = self.coming.saturating_sub(size);
        if is_kept {
            self.came = self.came.saturating_add(size);
        }
    }
}

impl Place {
    /// The blob is kept.
    pub(super) fn taken(mut self) {
        self.kept = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.room.taken).ended(self.size, self.kept);
        self.room.ended.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_comes_while_blobs_are_counted_is_counted() {
        let mut taken = Taken { coming: 70, ..Taken::default() };
        taken.ended(10, true);
        taken.ended(10, false);
        assert_eq!((taken.kept(), taken.coming), (None, 50));
        let before = taken.came;
        taken.ended(20, true);
        taken.counted(100, before);
        assert_eq!((taken.kept(), taken.coming), (Some(120), 30));
        taken.ended(30, true);
        assert_eq!((taken.kept(), taken.coming), (Some(150), 0));
    }
}
