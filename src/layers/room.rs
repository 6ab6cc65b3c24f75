use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Error;
use super::source::Shelf;

/// How much of what was fetched may be kept, shelf by shelf.
pub(super) struct Room {
    limit: Option<u64>,
    shelves: Mutex<HashMap<&'static str, Taken>>,
    /// Held by who makes room.
    making: tokio::sync::Mutex<()>,
}

/// Bytes of one shelf.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    /// Of blobs that were kept when they were last counted; nothing before that.
    counted: Option<u64>,
    /// Of blobs that came since then. A blob that came while they were counted may be among both: so there
    /// is never more than is known of.
    came: u64,
    /// Of blobs that come.
    coming: u64,
}

/// Room for a blob that comes; free again when it does not.
pub(super) struct Place {
    room: Arc<Room>,
    shelf: &'static str,
    size: u64,
    kept: bool,
}

impl Room {
    pub(super) fn new(limit: Option<u64>) -> Arc<Self> {
        Arc::new(Self { limit, shelves: Mutex::default(), making: tokio::sync::Mutex::default() })
    }

    /// Makes room for a blob of `size` bytes: blobs nobody has asked for the longest go.
    pub(super) async fn make(self: &Arc<Self>, shelf: &Shelf, size: u64) -> Result<Place, Error> {
        if let Some(limit) = self.limit {
            let _alone = self.making.lock().await;
            let taken = self.lock().get(shelf.name).copied().unwrap_or_default();
            let full = Error::Full { limit };
            // For what does not fit anyway nothing has to go.
            let Some(for_kept) = limit.checked_sub(taken.coming.saturating_add(size)) else {
                return Err(full);
            };
            if taken.kept().is_none_or(|kept| kept > for_kept) {
                let left = shelf.store.evict(for_kept).await?;
                self.lock().entry(shelf.name).or_default().counted(left, taken.came);
                if left > for_kept {
                    return Err(full);
                }
            }
        }
        self.lock().entry(shelf.name).or_default().coming += size;
        Ok(Place { room: Arc::clone(self), shelf: shelf.name, size, kept: false })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, Taken>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut shelves = self.room.lock();
        shelves.entry(self.shelf).or_default().ended(self.size, self.kept);
    }
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
