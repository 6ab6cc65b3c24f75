use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::entries::{Entries, Entry, Filter, Place, STRIDE};
use crate::layers::Layer;
use crate::oci::{Digest, RepositoryName, Tag};

/// How many images are listed. Behind that the oldest are left out: the store is never walked for a
/// request.
const MOST_IMAGES: usize = 200_000;

/// How many manifests have their pulls counted.
const MOST_COUNTED: usize = 200_000;

/// Which images there are, newest first, and how often they are pulled. Kept in memory beside the
/// store and filled from it at the start; what a row says of an image is read from the store when the
/// row is shown.
pub(in crate::registry) struct Listing {
    entries: Mutex<Entries>,
    pulls: Mutex<HashMap<u64, u64>>,
    hasher: RandomState,
    most: usize,
    complete: AtomicBool,
}

/// Position where on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// The newest.
    Start,
    /// What is older than this place.
    Before(Place),
    /// What is just newer than this place.
    After(Place),
}

/// Entries, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) entries: Vec<Entry>,
    /// Whether there are newer ones.
    pub(super) newer: bool,
    /// Whether there are older ones.
    pub(super) older: bool,
}

impl Listing {
    pub(in crate::registry) fn new() -> Self {
        Self::with_room_for(MOST_IMAGES)
    }

    fn with_room_for(most: usize) -> Self {
        Self {
            entries: Mutex::default(),
            pulls: Mutex::default(),
            hasher: RandomState::new(),
            most,
            complete: AtomicBool::new(false),
        }
    }

    /// An image was pushed.
    pub(in crate::registry) fn note(
        &self,
        layer: Layer,
        repository: &RepositoryName,
        tag: &Tag,
        at: SystemTime,
    ) {
        let mut entries = lock(&self.entries);
        entries.remove(repository, tag);
        self.insert(&mut entries, layer, repository, tag, at);
    }

    /// A pointer was left. What was pushed here lies above it.
    pub(in crate::registry) fn point(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        at: SystemTime,
    ) {
        let mut entries = lock(&self.entries);
        if entries.layer(repository, tag) != Some(Layer::Local) {
            entries.remove(repository, tag);
            self.insert(&mut entries, Layer::Speculative, repository, tag, at);
        }
    }

    /// An image was found in a store, or behind a pointer. What is listed already came later, or lies above.
    pub(super) fn find_old(
        &self,
        layer: Layer,
        repository: &RepositoryName,
        tag: &Tag,
        at: SystemTime,
    ) {
        let mut entries = lock(&self.entries);
        if entries.layer(repository, tag).is_none() {
            self.insert(&mut entries, layer, repository, tag, at);
        }
    }

    fn insert(
        &self,
        entries: &mut Entries,
        layer: Layer,
        repository: &RepositoryName,
        tag: &Tag,
        at: SystemTime,
    ) {
        entries.insert(layer, repository, tag, at);
        if entries.count().0 > self.most {
            entries.remove_oldest();
        }
    }

    /// An image was found in a layer by somebody who pulls it. What was pushed here is listed already.
    pub(in crate::registry) fn see(&self, layer: Layer, repository: &RepositoryName, tag: &Tag) {
        let layer = match layer {
            Layer::Local => return,
            // It is kept from now on.
            Layer::Upstream => Layer::Cache,
            kept => kept,
        };
        let known = lock(&self.entries).layer(repository, tag);
        if known != Some(layer) {
            self.note(layer, repository, tag, SystemTime::now());
        }
    }

    /// An image is gone.
    pub(in crate::registry) fn forget(&self, repository: &RepositoryName, tag: &Tag) {
        lock(&self.entries).remove(repository, tag);
    }

    /// Everything that was in the store at the start has been noted.
    pub(super) fn completed(&self) {
        self.complete.store(true, Ordering::Release);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// How many are listed, and how many were left out for want of room.
    pub(super) fn count(&self) -> (usize, u64) {
        lock(&self.entries).count()
    }

    /// A manifest was fetched.
    pub(in crate::registry) fn pulled(&self, repository: &RepositoryName, digest: &Digest) {
        let key = self.hasher.hash_one((repository, digest));
        let mut pulls = lock(&self.pulls);
        let mut few = 1;
        while pulls.len() >= MOST_COUNTED {
            // Those that are hardly pulled make room.
            pulls.retain(|_, count| *count > few);
            few *= 2;
        }
        *pulls.entry(key).or_default() += 1;
    }

    /// How often a manifest was fetched.
    pub(super) fn pulls(&self, repository: &RepositoryName, digest: &Digest) -> u64 {
        let key = self.hasher.hash_one((repository, digest));
        lock(&self.pulls).get(&key).copied().unwrap_or_default()
    }

    /// At most `limit` entries.
    pub(super) async fn find(&self, filter: &Filter, from: Position, limit: usize) -> Found {
        match from {
            Position::Start | Position::Before(_) => {
                let before = if let Position::Before(place) = from { place } else { Place::END };
                let (entries, older) = self.collect(filter, limit, before, true).await;
                let newest = entries.first().map_or(before, |entry| entry.place);
                let newer = from != Position::Start
                    && !self.collect(filter, 1, newest, false).await.0.is_empty();
                Found { entries, newer, older }
            }
            Position::After(place) => {
                let (mut entries, newer) = self.collect(filter, limit, place, false).await;
                entries.reverse();
                let oldest = entries.last().map_or(place, |entry| entry.place);
                let older = !self.collect(filter, 1, oldest, true).await.0.is_empty();
                Found { entries, newer, older }
            }
        }
    }

    /// Entries from a place on, in that direction, and whether there are more.
    async fn collect(
        &self,
        filter: &Filter,
        limit: usize,
        from: Place,
        backwards: bool,
    ) -> (Vec<Entry>, bool) {
        let mut found = Vec::new();
        let mut from = from;
        loop {
            let (seen, last) = lock(&self.entries).stride(from, backwards, |entry| {
                if filter.wants(entry) {
                    found.push(entry.clone());
                }
                found.len() <= limit
            });
            if found.len() > limit {
                found.truncate(limit);
                return (found, true);
            }
            if seen < STRIDE {
                return (found, false);
            }
            from = last;
            tokio::task::yield_now().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn note(listing: &Listing, name: &str, tag: &str, second: u64) {
        let at = UNIX_EPOCH + Duration::from_secs(second);
        listing.note(Layer::Local, &name.parse().unwrap(), &tag.parse().unwrap(), at);
    }

    async fn shown(
        listing: &Listing,
        filter: &Filter,
        from: Position,
        limit: usize,
    ) -> (Vec<String>, bool, bool) {
        let found = listing.find(filter, from, limit).await;
        let names = found.entries.iter().map(|entry| format!("{}:{}", entry.repository, entry.tag));
        (names.collect(), found.newer, found.older)
    }

    fn text(text: &str) -> Filter {
        Filter { text: Some(text.to_owned()), layer: None }
    }

    #[tokio::test]
    async fn the_newest_is_first_and_pages_join() {
        let listing = Listing::new();
        for number in 0..10 {
            note(&listing, "a", &format!("t{number}"), 100);
        }
        note(&listing, "a", "t3", 200);
        let all = Filter::default();
        let first = listing.find(&all, Position::Start, 4).await;
        assert!(!first.newer && first.older);
        assert_eq!(first.entries[0].tag.as_str(), "t3");
        let last = first.entries.last().unwrap().place;
        let (second, newer, older) = shown(&listing, &all, Position::Before(last), 6).await;
        assert_eq!((second.len(), newer, older), (6, true, false));
        assert_eq!(second.last().map(String::as_str), Some("a:t0"));
        let back = listing.find(&all, Position::After(first.entries[2].place), 2).await;
        assert_eq!(back.entries, first.entries[..2]);
        assert!(!back.newer && back.older);
    }

    #[tokio::test]
    async fn what_is_gone_is_not_listed() {
        let listing = Listing::new();
        note(&listing, "a", "one", 1);
        listing.forget(&"a".parse().unwrap(), &"one".parse().unwrap());
        listing.forget(&"a".parse().unwrap(), &"two".parse().unwrap());
        assert_eq!(shown(&listing, &Filter::default(), Position::Start, 9).await.0.len(), 0);
        assert_eq!(listing.count(), (0, 0));
    }

    #[tokio::test]
    async fn a_search_goes_through_many_entries() {
        let listing = Listing::new();
        note(&listing, "needle", "latest", 1);
        for number in 0..3 * STRIDE as u64 {
            note(&listing, "hay", &format!("t{number}"), 10 + number);
        }
        let (found, newer, older) = shown(&listing, &text("needle"), Position::Start, 1).await;
        assert_eq!((found, newer, older), (vec!["needle:latest".to_owned()], false, false));
        let found = listing.find(&text("needle"), Position::Start, 1).await;
        let place = found.entries[0].place;
        assert!(
            listing.find(&Filter::default(), Position::Before(place), 1).await.entries.is_empty()
        );
    }

    #[tokio::test]
    async fn the_oldest_makes_room() {
        let listing = Listing::with_room_for(2);
        for number in [3, 1, 2] {
            note(&listing, "a", &format!("t{number}"), number);
        }
        assert_eq!(listing.count(), (2, 1));
        let (found, ..) = shown(&listing, &Filter::default(), Position::Start, 9).await;
        assert_eq!(found, ["a:t3", "a:t2"]);
    }

    #[test]
    fn pulls_are_counted_by_repository_and_digest() {
        let listing = Listing::new();
        let (a, b): (RepositoryName, RepositoryName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let digest = Digest::sha256(b"");
        for _ in 0..3 {
            listing.pulled(&a, &digest);
        }
        assert_eq!((listing.pulls(&a, &digest), listing.pulls(&b, &digest)), (3, 0));
    }
}
