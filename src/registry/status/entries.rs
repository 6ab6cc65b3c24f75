use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::layers::Layer;
use crate::oci::{RepositoryName, Tag};

/// How many entries are looked at without letting others in.
pub(super) const STRIDE: usize = 2_000;

/// Tags in the order they came, each once.
#[derive(Default)]
pub(super) struct Entries {
    places: HashMap<(Arc<RepositoryName>, Tag), Place>,
    by_place: BTreeMap<Place, (Arc<RepositoryName>, Tag, Layer)>,
    names: HashSet<Arc<RepositoryName>>,
    /// How many had to make room.
    left_out: u64,
    next: u64,
}

/// A tag, and the layer it was last seen in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) repository: Arc<RepositoryName>,
    pub(super) tag: Tag,
    pub(super) layer: Layer,
}

/// The microsecond of a push, and a number that tells those of the same microsecond apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place(u64, u64);

/// Which entries are wanted.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    /// Names that contain this text.
    pub(super) text: Option<String>,
    /// Of this layer.
    pub(super) layer: Option<Layer>,
}

impl Entries {
    /// The layer of a tag that is there.
    pub(super) fn layer(&self, repository: &RepositoryName, tag: &Tag) -> Option<Layer> {
        let name = self.names.get(repository)?;
        let place = self.places.get(&(Arc::clone(name), tag.clone()))?;
        self.by_place.get(place).map(|(_, _, layer)| *layer)
    }

    /// Notes a tag that is not there.
    pub(super) fn insert(
        &mut self,
        layer: Layer,
        repository: &RepositoryName,
        tag: &Tag,
        at: SystemTime,
    ) {
        let repository = match self.names.get(repository) {
            Some(known) => Arc::clone(known),
            None => {
                let new = Arc::new(repository.clone());
                self.names.insert(Arc::clone(&new));
                new
            }
        };
        let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let at = u64::try_from(at).unwrap_or(u64::MAX / 2);
        let place = Place(at, self.next);
        self.next += 1;
        self.by_place.insert(place, (Arc::clone(&repository), tag.clone(), layer));
        self.places.insert((repository, tag.clone()), place);
    }

    /// How many there are, and how many had to make room.
    pub(super) fn count(&self) -> (usize, u64) {
        (self.by_place.len(), self.left_out)
    }

    pub(super) fn remove(&mut self, repository: &RepositoryName, tag: &Tag) {
        let Some(known) = self.names.get(repository) else { return };
        let place = self.places.remove(&(Arc::clone(known), tag.clone()));
        if let Some(place) = place {
            self.by_place.remove(&place);
            self.let_go(repository);
        }
    }

    pub(super) fn remove_oldest(&mut self) {
        if let Some((_, (repository, tag, _))) = self.by_place.pop_first() {
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
    pub(super) fn stride(
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
            self.by_place.range(..from).rev().take(STRIDE).all(&mut each);
        } else {
            let behind = (Bound::Excluded(from), Bound::Unbounded);
            self.by_place.range(behind).take(STRIDE).all(&mut each);
        }
        (seen, last)
    }
}

impl Place {
    pub(super) const END: Self = Self(u64::MAX, u64::MAX);
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
    pub(super) fn wants(&self, entry: &Entry) -> bool {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn insert(entries: &mut Entries, name: &str, tag: &str) {
        let layer = if name.starts_with("quay.io/") { Layer::Cache } else { Layer::Local };
        entries.insert(layer, &name.parse().unwrap(), &tag.parse().unwrap(), UNIX_EPOCH);
    }

    fn wanted(entries: &Entries, filter: &Filter) -> Vec<String> {
        let mut found = Vec::new();
        entries.stride(Place::END, true, |entry| {
            if filter.wants(entry) {
                found.push(format!("{}:{}", entry.repository, entry.tag));
            }
            true
        });
        found
    }

    #[test]
    fn text_and_layer_choose() {
        let mut entries = Entries::default();
        insert(&mut entries, "org/app", "v1");
        insert(&mut entries, "quay.io/org/app", "v2");
        insert(&mut entries, "other", "app");
        let text = |text: &str| Filter { text: Some(text.to_owned()), layer: None };
        for (filter, expected) in [
            (text("org"), &["quay.io/org/app:v2", "org/app:v1"][..]),
            (text("app"), &["other:app", "quay.io/org/app:v2", "org/app:v1"]),
            (text("org/app:v1"), &["org/app:v1"]),
            (text("nothing"), &[]),
            (Filter { text: None, layer: Some(Layer::Cache) }, &["quay.io/org/app:v2"]),
        ] {
            assert_eq!(wanted(&entries, &filter), expected, "{filter:?}");
        }
    }

    #[test]
    fn a_name_without_images_is_not_kept() {
        let mut entries = Entries::default();
        let (name, one, two) =
            ("a".parse().unwrap(), "one".parse().unwrap(), "two".parse().unwrap());
        insert(&mut entries, "a", "one");
        insert(&mut entries, "a", "two");
        entries.remove(&name, &one);
        assert_eq!(entries.names.len(), 1);
        entries.remove(&name, &two);
        assert!(entries.names.is_empty());
        insert(&mut entries, "a", "one");
        entries.remove_oldest();
        assert!(entries.names.is_empty());
        assert_eq!(entries.count(), (0, 1));
    }
}
