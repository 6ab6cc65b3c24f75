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
    /// Of blobs that are kept; nothing before somebody counted them.
    kept: Option<u64>,
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
            let Taken { kept, coming } = self.lock().get(shelf.name).copied().unwrap_or_default();
            let for_kept = limit.saturating_sub(coming.saturating_add(size));
            let kept = match kept {
                Some(kept) if kept <= for_kept => kept,
                _ => shelf.store.evict(for_kept).await?,
            };
            self.lock().entry(shelf.name).or_default().kept = Some(kept);
            if kept > for_kept || coming.saturating_add(size) > limit {
                return Err(Error::Full { limit });
            }
        }
        self.lock().entry(shelf.name).or_default().coming += size;
        Ok(Place { room: Arc::clone(self), shelf: shelf.name, size, kept: false })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, Taken>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
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
        let taken = shelves.entry(self.shelf).or_default();
        taken.coming = taken.coming.saturating_sub(self.size);
        if let (true, Some(kept)) = (self.kept, &mut taken.kept) {
            *kept = kept.saturating_add(self.size);
        }
    }
}
