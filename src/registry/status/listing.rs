use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::layers::Layer;
use crate::oci::{Digest, RepositoryName, Tag};

/// How many images are listed. Behind that the oldest are left out: the store is never walked for a
/// request.
const MOST_IMAGES: usize = 200_000;

/// How many manifests have their pulls counted.
const MOST_COUNTED: usize = 200_000;

/// How many entries are looked at without letting others in.
const STRIDE: usize = 2_000;

/// Which images there are, newest first, and how often they are pulled. Kept in memory beside the
/// store and filled from it at the start; what a row says of an image is read from the store when the
/// row is shown.
pub(in crate::registry) struct Listing {
    images: Mutex<Images>,
    pulls: Mutex<HashMap<u64, u64>>,
    hasher: RandomState,
    most: usize,
    complete: AtomicBool,
}

/// The microsecond of a push, and a number that tells those of the same microsecond apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::registry) struct Place(u64, u64);

/// A tag, and the layer it was last seen in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) struct Entry {
    pub(in crate::registry) place: Place,
    pub(in crate::registry) repository: Arc<RepositoryName>,
    pub(in crate::registry) tag: Tag,
    pub(in crate::registry) layer: Layer,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub(in crate::registry) struct Filter {
    /// Names that contain this text.
    pub(in crate::registry) text: Option<String>,
    /// Of this layer.
    pub(in crate::registry) layer: Option<Layer>,
}

/// Position where on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Position {
    /// The newest.
    Start,
    /// What is older than this place.
    Before(Place),
    /// What is just newer than this place.
    After(Place),
}

/// Entries, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) struct Found {
    pub(in crate::registry) entries: Vec<Entry>,
    /// Whether there are newer ones.
    pub(in crate::registry) newer: bool,
    /// Whether there are older ones.
    pub(in crate::registry) older: bool,
}

#[derive(Default)]
struct Images {
    places: HashMap<(Arc<RepositoryName>, Tag), Place>,
    entries: BTreeMap<Place, (Arc<RepositoryName>, Tag, Layer)>,
    names: HashSet<Arc<RepositoryName>>,
    left_out: u64,
    next: u64,
}

impl Listing {
    pub(in crate::registry) fn new() -> Self {
        Self::with_room_for(MOST_IMAGES)
    }

    fn with_room_for(most: usize) -> Self {
        Self {
            images: Mutex::default(),
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
        let mut images = lock(&self.images);
        images.remove(repository, tag);
        self.insert(&mut images, layer, repository, tag, at);
    }

    /// An image was found in a store. What is listed already came later, or lies above.
    pub(in crate::registry) fn find_old(
        &self,
        layer: Layer,
        repository: &RepositoryName,
        tag: &Tag,
        at: SystemTime,
    ) {
        let mut images = lock(&self.images);
        if images.layer(repository, tag).is_none() {
            self.insert(&mut images, layer, repository, tag, at);
        }
    }

    fn insert(
        &self,
        images: &mut Images,
        layer: Layer,
        repository: &RepositoryName,
        tag: &Tag,
        at: SystemTime,
    ) {
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let at = u64::try_from(at).unwrap_or(u64::MAX / 2);
        images.insert(at, repository, tag, layer);
        if images.entries.len() > self.most {
            images.remove_oldest();
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
        let known = lock(&self.images).layer(repository, tag);
        if known != Some(layer) {
            self.note(layer, repository, tag, SystemTime::now());
        }
    }

    /// An image is gone.
    pub(in crate::registry) fn forget(&self, repository: &RepositoryName, tag: &Tag) {
        lock(&self.images).remove(repository, tag);
    }

    /// Everything that was in the store at the start has been noted.
    pub(in crate::registry) fn completed(&self) {
        self.complete.store(true, Ordering::Release);
    }

    pub(in crate::registry) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// How many are listed, and how many were left out for want of room.
    pub(in crate::registry) fn count(&self) -> (usize, u64) {
        let images = lock(&self.images);
        (images.entries.len(), images.left_out)
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
    pub(in crate::registry) fn pulls(&self, repository: &RepositoryName, digest: &Digest) -> u64 {
        let key = self.hasher.hash_one((repository, digest));
        lock(&self.pulls).get(&key).copied().unwrap_or_default()
    }

    /// At most `limit` entries.
    pub(in crate::registry) async fn find(
        &self,
        filter: &Filter,
        from: Position,
        limit: usize,
    ) -> Found {
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
            let (seen, last) = lock(&self.images).stride(from, backwards, |entry| {
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

impl Images {
    fn layer(&self, repository: &RepositoryName, tag: &Tag) -> Option<Layer> {
        let name = self.names.get(repository)?;
        let place = self.places.get(&(Arc::clone(name), tag.clone()))?;
        self.entries.get(place).map(|(_, _, layer)| *layer)
    }

    fn insert(&mut self, at: u64, repository: &RepositoryName, tag: &Tag, layer: Layer) {
        let repository = match self.names.get(repository) {
            Some(known) => Arc::clone(known),
            None => {
                let new = Arc::new(repository.clone());
                self.names.insert(Arc::clone(&new));
                new
            }
        };
        let place = Place(at, self.next);
        self.next += 1;
        self.entries.insert(place, (Arc::clone(&repository), tag.clone(), layer));
        self.places.insert((repository, tag.clone()), place);
    }

    fn remove(&mut self, repository: &RepositoryName, tag: &Tag) {
        let Some(known) = self.names.get(repository) else { return };
        let place = self.places.remove(&(Arc::clone(known), tag.clone()));
        if let Some(place) = place {
            self.entries.remove(&place);
            self.let_go(repository);
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, (repository, tag, _))) = self.entries.pop_first() {
            let key = (repository, tag);
            self.places.remove(&key);
            let (repository, _) = key;
            let name = RepositoryName::clone(&repository);
            drop(repository);
            self.let_go(&name);
            self.left_out += 1;
        }
    }

    /// A name without images is not kept.
    fn let_go(&mut self, repository: &RepositoryName) {
        if self.names.get(repository).is_some_and(|name| Arc::strong_count(name) == 1) {
            self.names.remove(repository);
        }
    }

    /// Shows entries from a place on, that one left out, until told to stop or for one stride; says how
    /// many and where it ended.
    fn stride(
        &self,
        from: Place,
        backwards: bool,
        mut show: impl FnMut(&Entry) -> bool,
    ) -> (usize, Place) {
        let (mut seen, mut last) = (0, from);
        let mut each =
            |(place, (repository, tag, layer)): (&Place, &(Arc<RepositoryName>, Tag, Layer))| {
                seen += 1;
                last = *place;
                let entry = Entry {
                    place: *place,
                    repository: Arc::clone(repository),
                    tag: tag.clone(),
                    layer: *layer,
                };
                show(&entry)
            };
        if backwards {
            self.entries.range(..from).rev().take(STRIDE).all(&mut each);
        } else {
            let behind = (Bound::Excluded(from), Bound::Unbounded);
            self.entries.range(behind).take(STRIDE).all(&mut each);
        }
        (seen, last)
    }
}

impl Place {
    const END: Self = Self(u64::MAX, u64::MAX);
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, number) = text.split_once('-').ok_or(())?;
        Ok(Self(at.parse().map_err(drop)?, number.parse().map_err(drop)?))
    }
}

impl Filter {
    fn wants(&self, entry: &Entry) -> bool {
        let text = self.text.as_deref().is_none_or(|text| {
            // A name and a tag as people write them, `name:tag`.
            let (name, tag) = text.rsplit_once(':').map_or((text, None), |(n, t)| (n, Some(t)));
            match tag {
                Some(tag) => {
                    entry.repository.as_str().ends_with(name) && entry.tag.as_str().starts_with(tag)
                }
                None => {
                    entry.repository.as_str().contains(name) || entry.tag.as_str().contains(name)
                }
            }
        });
        text && self.layer.is_none_or(|layer| layer == entry.layer)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    fn note(listing: &Listing, name: &str, tag: &str, second: u64) {
        let at = UNIX_EPOCH + Duration::from_secs(second);
        let layer = if name.starts_with("quay.io/") { Layer::Cache } else { Layer::Local };
        listing.note(layer, &name.parse().unwrap(), &tag.parse().unwrap(), at);
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
        assert!(lock(&listing.images).names.is_empty());
    }

    #[tokio::test]
    async fn text_and_layer_choose() {
        let listing = Listing::new();
        note(&listing, "org/app", "v1", 1);
        note(&listing, "quay.io/org/app", "v2", 2);
        note(&listing, "other", "app", 3);
        for (filter, expected) in [
            (text("org"), &["quay.io/org/app:v2", "org/app:v1"][..]),
            (text("app"), &["other:app", "quay.io/org/app:v2", "org/app:v1"]),
            (text("org/app:v1"), &["org/app:v1"]),
            (text("nothing"), &[]),
            (Filter { text: None, layer: Some(Layer::Cache) }, &["quay.io/org/app:v2"]),
        ] {
            assert_eq!(
                shown(&listing, &filter, Position::Start, 9).await.0,
                expected,
                "{filter:?}"
            );
        }
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
