use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Error;
use crate::oci::Digest;
use crate::storage::Storage;

/// How long a blob waits for others to have come.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How much more than is needed goes for a manifest, at most, so that not every one looks through the store.
const SPARE: u64 = 64 * 1024 * 1024;

/// How much one shelf holds, and may hold.
pub(super) struct Room {
    limit: Option<u64>,
    taken: Mutex<Taken>,
    /// Held by who makes room.
    making: tokio::sync::Mutex<()>,
    /// A blob comes no more.
    ended: Notify,
}

/// Bytes of one shelf. Manifests count as blobs that came.
#[derive(Debug, Default)]
struct Taken {
    /// Of blobs that were kept when they were last counted; nothing before that.
    counted: Option<u64>,
    /// Of blobs that came since then. A blob that came while they were counted may be among both: there is
    /// never more than is known of.
    came: u64,
    /// Of blobs that have a place.
    coming: u64,
    /// They, and how many places each has. What has one does not have to make room.
    places: HashMap<Digest, usize>,
}

/// The place of a blob that comes; free again when it does not.
pub(super) struct Place {
    room: Arc<Room>,
    digest: Digest,
    size: u64,
    kept: bool,
}

/// Those who wait for a blob to take it over. Its place is theirs until the last of them goes.
#[derive(Default)]
pub(super) struct Keepers(Mutex<(usize, Option<Place>)>);

impl Room {
    pub(super) fn new(limit: Option<u64>) -> Self {
        let (taken, making, ended) = Default::default();
        Self { limit, taken, making, ended }
    }

    /// Makes room for a blob of `size` bytes: blobs nobody has asked for the longest go. Where those that
    /// come are in the way, it waits for them, so long.
    pub(super) async fn make(
        self: &Arc<Self>,
        store: &dyn Storage,
        digest: &Digest,
        size: u64,
        patience: Duration,
    ) -> Result<Place, Error> {
        let Some(limit) = self.limit else { return Ok(self.take(digest, size)) };
        // For what does not fit anyway nothing has to go.
        if size > limit {
            return Err(Error::Full { limit });
        }
        let making = self.make_within(limit, store, digest, size);
        let made = tokio::time::timeout(patience, making).await;
        made.unwrap_or(Err(Error::Full { limit }))
    }

    async fn make_within(
        self: &Arc<Self>,
        limit: u64,
        store: &dyn Storage,
        digest: &Digest,
        size: u64,
    ) -> Result<Place, Error> {
        let _alone = self.making.lock().await;
        let for_kept = loop {
            let coming = lock(&self.taken).coming;
            if let Some(for_kept) = limit.checked_sub(coming.saturating_add(size)) {
                break for_kept;
            }
            // One that ended since is remembered.
            self.ended.notified().await;
        };
        let above = lock(&self.taken).above(for_kept);
        if let Some((came, spared)) = above {
            let left = store.evict(for_kept, spared).await?;
            lock(&self.taken).counted(left, came);
            if left > for_kept {
                return Err(Error::Full { limit });
            }
        }
        Ok(self.take(digest, size))
    }

    /// Counts a manifest that is kept. It is small: what has to go for it goes when it is there already.
    pub(super) async fn manifest_came(&self, store: &dyn Storage, size: u64) {
        let Some(limit) = self.limit else { return };
        lock(&self.taken).came(size);
        // Who makes room at the moment counts what came.
        let Ok(_alone) = self.making.try_lock() else { return };
        let for_kept = limit.saturating_sub(lock(&self.taken).coming);
        let above = lock(&self.taken).above(for_kept);
        if let Some((came, spared)) = above {
            let at_most = for_kept - SPARE.min(for_kept / 16);
            match store.evict(at_most, spared).await {
                Ok(left) => lock(&self.taken).counted(left, came),
                Err(error) => tracing::error!(%error, "no room can be made in a cache"),
            }
        }
    }

    fn take(self: &Arc<Self>, digest: &Digest, size: u64) -> Place {
        lock(&self.taken).began(digest, size);
        Place { room: Arc::clone(self), digest: digest.clone(), size, kept: false }
    }
}

impl Taken {
    /// Of blobs that are kept, where that is known.
    fn kept(&self) -> Option<u64> {
        self.counted.map(|counted| counted.saturating_add(self.came))
    }

    /// Where more may be kept than this: what has come since it was counted, and what has a place.
    fn above(&self, at_most: u64) -> Option<(u64, HashSet<Digest>)> {
        let is_above = self.kept().is_none_or(|kept| kept > at_most);
        is_above.then(|| (self.came, self.places.keys().cloned().collect()))
    }

    /// So much was found, when so much had come.
    fn counted(&mut self, found: u64, came: u64) {
        self.counted = Some(found);
        self.came = self.came.saturating_sub(came);
    }

    /// One has a place.
    fn began(&mut self, digest: &Digest, size: u64) {
        self.coming += size;
        *self.places.entry(digest.clone()).or_default() += 1;
    }

    /// One needs its place no more, and is kept or not.
    fn ended(&mut self, digest: &Digest, size: u64, is_kept: bool) {
        self.coming = self.coming.saturating_sub(size);
        if let Some(places) = self.places.get_mut(digest) {
            *places -= 1;
        }
        self.places.retain(|_, places| *places > 0);
        if is_kept {
            self.came(size);
        }
    }

    /// One is kept.
    fn came(&mut self, size: u64) {
        self.came = self.came.saturating_add(size);
    }
}

impl Place {
    /// The blob is kept.
    pub(super) fn taken(mut self) -> Self {
        self.kept = true;
        self
    }
}

impl Keepers {
    /// One waits.
    pub(super) fn come(&self) {
        lock(&self.0).0 += 1;
    }

    /// One has taken it over, or does not wait any more.
    pub(super) fn go(&self) {
        let mut keepers = lock(&self.0);
        keepers.0 -= 1;
        if keepers.0 == 0 {
            keepers.1 = None;
        }
    }

    /// It is there.
    pub(super) fn settle(&self, place: Place) {
        let mut keepers = lock(&self.0);
        keepers.1 = Some(place).filter(|_| keepers.0 > 0);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.room.taken).ended(&self.digest, self.size, self.kept);
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
        let digest = Digest::sha256(b"");
        let mut taken = Taken::default();
        for size in [10, 10, 20, 30] {
            taken.began(&digest, size);
        }
        taken.ended(&digest, 10, true);
        taken.ended(&digest, 10, false);
        assert_eq!((taken.kept(), taken.coming, taken.places.len()), (None, 50, 1));
        let before = taken.came;
        taken.ended(&digest, 20, true);
        taken.counted(100, before);
        assert_eq!((taken.kept(), taken.coming), (Some(120), 30));
        taken.ended(&digest, 30, true);
        assert_eq!((taken.kept(), taken.coming, taken.places.len()), (Some(150), 0, 0));
    }
}
