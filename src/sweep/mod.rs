//! Removes temporary tags that were leaked: uploaded for a change or pipeline, and never promoted.
//!
//! Which tags those may be says `candidates`; when they came to be say `looks`, by the registry's web API
//! or our own registry, and elsewhere the `sightings` of earlier runs. Nothing in an image says how old a
//! tag is. A tag goes only while it is what was looked at, by tag and never by digest (`removal`).

mod candidates;
mod looks;
mod report;
mod sightings;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::SignedDuration;

pub use self::candidates::{Candidates, InvalidPattern, Pattern};
use self::looks::{Book, Look};
pub use self::report::{Decision, Failed, Swept, SweptTag, Totals};
use self::sightings::Sighting;
pub use self::sightings::{Sightings, StateError};
use crate::client::{Client, Deleted};
use crate::oci::{Registry, RepositoryName, Tag};
use crate::removal::{self, TagRemover};
use crate::zuul::{self, ImageList};

/// How many tags are looked at at once; the client limits each host besides.
const AT_ONCE: usize = 8;

/// What may be removed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which tags may be leaked ones.
    pub candidates: Candidates,
    /// How old they must be at least.
    pub older_than: Duration,
    /// Whether they are removed, or only listed.
    pub confirm: bool,
}

/// A repository of the list, however often and by whichever of its names it is there.
#[derive(Debug)]
struct Place {
    /// As the job spells it.
    repository: String,
    registry: Registry,
    name: RepositoryName,
    finals: BTreeSet<Tag>,
}

impl Place {
    /// What it is remembered as.
    fn key(&self) -> String {
        format!("{}/{}", self.registry, self.name)
    }
}

/// Looks at every repository of the list, and removes what may be removed. What fails is told in the
/// report, and the rest goes on. `seen` is what earlier runs saw, and afterwards what this one did.
///
/// # Errors
/// A list whose names are none; checked when it was read.
pub async fn sweep(
    client: &Client,
    remover: &TagRemover,
    images: &ImageList,
    options: &Options,
    mut seen: Option<&mut Sightings>,
) -> Result<Swept, zuul::Error> {
    let (before, started) = (client.statistics(), std::time::Instant::now());
    let mut swept = Swept { confirm: options.confirm, ..Swept::default() };
    for place in places(images)? {
        let sweep = Sweep { place: &place, client, remover, options, seen: seen.as_deref() };
        match sweep.all().await {
            Ok(outcomes) => {
                let sightings = outcomes
                    .iter()
                    .filter_map(|one| Some((one.tag.tag.clone(), one.sighting.clone()?)));
                if let Some(seen) = &mut seen {
                    seen.replace(place.key(), sightings.collect());
                }
                swept.tags.extend(outcomes.into_iter().map(|one| one.tag));
            }
            Err(error) => {
                tracing::warn!("{}: {error}", place.repository);
                let (item, message) = (place.repository.clone(), error.to_string());
                swept.failures.push(Failed { item, message });
            }
        }
    }
    let statistics = client.statistics();
    swept.totals = Totals {
        requests: statistics.requests - before.requests,
        retries: statistics.retries - before.retries,
        seconds: started.elapsed().as_secs_f64(),
        ..Totals::of(&swept.tags)
    };
    Ok(swept)
}

/// The repositories of a list, each with all its declared tags: those of another entry are final, too.
fn places(images: &ImageList) -> Result<Vec<Place>, zuul::Error> {
    let mut places: Vec<Place> = Vec::new();
    for (image, tag) in images.tags() {
        let reference = image.reference(tag.clone())?;
        let (registry, name) = (reference.registry, reference.repository);
        let known =
            places.iter_mut().find(|place| place.registry.is_same(&registry) && place.name == name);
        match known {
            Some(place) => drop(place.finals.insert(tag.clone())),
            None => places.push(Place {
                repository: image.repository.clone(),
                registry,
                name,
                finals: BTreeSet::from([tag.clone()]),
            }),
        }
    }
    Ok(places)
}

/// The sweep of one repository.
struct Sweep<'a> {
    place: &'a Place,
    client: &'a Client,
    remover: &'a TagRemover,
    options: &'a Options,
    seen: Option<&'a Sightings>,
}

/// What became of a tag, and what the next run is to know of it.
struct Outcome {
    tag: SweptTag,
    sighting: Option<Sighting>,
}

/// What is known of the age of a tag.
struct Age {
    age: Option<SignedDuration>,
    from: Option<&'static str>,
    /// Why it is not known.
    unknown: &'static str,
    sighting: Option<Sighting>,
}

impl Sweep<'_> {
    async fn all(&self) -> Result<Vec<Outcome>, removal::Error> {
        let Place { registry, name, .. } = self.place;
        let mut book = Book::of(self.client.repository(registry, name), self.remover.api(registry));
        let Some(tags) = book.tags().await? else {
            tracing::warn!(
                "{}: there is no such repository, or this login does not see it",
                self.place.repository
            );
            return Ok(Vec::new());
        };
        let candidates = tags
            .into_iter()
            .filter(|(tag, _)| self.options.candidates.hold(tag, &self.place.finals));
        let outcomes = candidates.map(|(tag, listed)| self.one(&book, tag, listed));
        Ok(stream::iter(outcomes).buffered(AT_ONCE).collect().await)
    }

    /// A tag whose look fails stays, and what was known of it is kept.
    async fn one(&self, book: &Book<'_>, tag: Tag, listed: Option<Look>) -> Outcome {
        if self.place.finals.contains(&tag) {
            return self.outcome(tag, Decision::Kept, "it is a declared final tag");
        }
        let look = match &listed {
            Some(look) => Ok(Some(look.clone())),
            None => book.look(&tag).await,
        };
        let look = match look {
            Ok(Some(look)) => look,
            Ok(None) => return self.outcome(tag, Decision::Gone, "it is not there any more"),
            Err(error) => {
                let sighting = self.sighting(&tag).cloned();
                return Outcome { sighting, ..self.outcome(tag, Decision::Failed, error) };
            }
        };
        let Age { age, from, unknown, sighting } = self.age(book, &tag, &look);
        let (decision, reason) = match age {
            None => (Decision::Kept, unknown.to_owned()),
            Some(age) if age < limit(self.options.older_than) => {
                (Decision::Kept, "it is not old enough".to_owned())
            }
            Some(_) if !self.options.confirm => {
                (Decision::WouldDelete, "nothing is deleted without --confirm".to_owned())
            }
            Some(_) => self.remove(book, &tag, &look, listed.is_some()).await,
        };
        let mut outcome = self.outcome(tag, decision, reason);
        outcome.tag.digest = look.digest;
        outcome.tag.age_seconds = age.map(|age| age.as_secs().try_into().unwrap_or(0));
        outcome.tag.age_from = from;
        outcome.sighting =
            sighting.filter(|_| !matches!(decision, Decision::Deleted | Decision::Gone));
        outcome
    }

    /// A look from a list is a while ago; what was looked at just now is not looked at again.
    async fn remove(
        &self,
        book: &Book<'_>,
        tag: &Tag,
        look: &Look,
        again: bool,
    ) -> (Decision, String) {
        if again {
            match book.look(tag).await {
                Ok(Some(now)) if now.is_same(look) => {}
                Ok(Some(_)) => {
                    return (Decision::Kept, "it was pushed again meanwhile".to_owned());
                }
                Ok(None) => return (Decision::Gone, "it is not there any more".to_owned()),
                Err(error) => return (Decision::Failed, error.to_string()),
            }
        }
        match self.remover.remove(book.repository(), tag).await {
            Ok(Deleted::Done) => (Decision::Deleted, "it was old enough".to_owned()),
            Ok(Deleted::Absent) => (Decision::Gone, "it is not there any more".to_owned()),
            Ok(Deleted::Unsupported) => {
                (Decision::Failed, "the registry deletes no tags".to_owned())
            }
            Err(error) => (Decision::Failed, error.to_string()),
        }
    }

    fn age(&self, book: &Book<'_>, tag: &Tag, look: &Look) -> Age {
        if look.digest.is_none() {
            let unknown = "it is not said what it holds";
            return Age { age: None, from: None, unknown, sighting: None };
        }
        if let Some(age) = look.age() {
            return Age { age: Some(age), from: Some(book.name()), unknown: "", sighting: None };
        }
        let unknown = "nobody says how old it is; name a file with --state, and run again later";
        let (Some(_), Some(digest)) = (self.seen, &look.digest) else {
            return Age { age: None, from: None, unknown, sighting: None };
        };
        let earlier = self.sighting(tag).filter(|earlier| earlier.holds(digest, look.clock));
        match earlier {
            Some(earlier) => {
                let age = look.clock.earliest.duration_since(earlier.since);
                Age {
                    age: Some(age),
                    from: Some("state"),
                    unknown,
                    sighting: Some(earlier.clone()),
                }
            }
            None => {
                let unknown = "it is seen for the first time";
                let sighting = Some(Sighting::new(digest.clone(), look.clock));
                Age { age: None, from: Some("state"), unknown, sighting }
            }
        }
    }

    fn sighting(&self, tag: &Tag) -> Option<&Sighting> {
        self.seen?.get(&self.place.key(), tag)
    }

    fn outcome(&self, tag: Tag, decision: Decision, reason: impl ToString) -> Outcome {
        let tag = SweptTag {
            repository: self.place.repository.clone(),
            tag,
            digest: None,
            age_seconds: None,
            age_from: None,
            decision,
            reason: reason.to_string(),
        };
        Outcome { tag, sighting: None }
    }
}

/// As ages are compared; no age is longer than what does not fit.
fn limit(older_than: Duration) -> SignedDuration {
    SignedDuration::try_from(older_than).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::zuul::Document;

    #[test]
    fn a_repository_that_is_listed_twice_is_one_with_all_its_tags() {
        let text = "[{repository: docker.io/org/a, tags: [x]}, {repository: quay.io/org/a, tags: [x]}, \
                     {repository: registry-1.docker.io/org/a, tags: [change_1_x]}]";
        let images = ImageList::parse(&Document::new("images", text)).unwrap();
        let places = places(&images).unwrap();
        let finals: Vec<usize> = places.iter().map(|place| place.finals.len()).collect();
        assert_eq!(finals, [2, 1]);
    }
}
