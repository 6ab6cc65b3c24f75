//! What is attached to images – signatures, attestations, lists of parts – and travels with them.
//!
//! Found at the source by the registry's list of referrers (distribution-spec, "Listing Referrers"), by
//! the tag named after a digest where there is no such list ("Referrers Tag Schema"), and by cosign's
//! tags; followed from referrer to referrer. What the destination lacks of it is planned and moved
//! with the images themselves, and is there before their tags are.

mod search;
mod signatures;
mod subject;

use std::collections::HashMap;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;

use self::search::{Run, Search};
use super::plan::{Place, place};
use super::resolve::{Resolved, resolve};
use super::source::Sources;
use super::{Error, Item, Options, Source};
use crate::client::{Client, Repository};
use crate::oci::{Digest, ImageReference, Reference, Tag};

/// Which referrers travel along when an image changes its repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Referrers {
    /// None.
    #[default]
    None,
    /// Those of the image, at one request for each image, and of every referrer that is carried; those
    /// of the image's platforms only as far as tags tell of them.
    Image,
    /// Also those of every platform and of referrers that are in place, at one request for each.
    All,
}

/// One thing that is attached to an image, or to something attached to it.
#[derive(Debug)]
pub(super) struct Attached {
    /// By digest, or by cosign's tag.
    pub(super) resolved: Resolved,
    pub(super) subject: Digest,
    /// How many steps it is from the image.
    pub(super) depth: usize,
    artifact_type: Option<String>,
}

/// What is attached to the images of a run.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Of each image that changes its place.
    groups: Vec<Group>,
    /// Which of them belongs to an item.
    of_items: Vec<Option<usize>>,
}

#[derive(Debug)]
pub(super) struct Group {
    /// The first item that is this image.
    pub(super) item: usize,
    pub(super) attached: Vec<Attached>,
}

/// What was done about one referrer.
#[derive(Debug, Clone, Serialize)]
pub struct ReferrerOutcome {
    /// Its digest, or the tag that cosign finds it by.
    pub reference: String,
    /// What it is attached to.
    pub subject: Digest,
    /// What it is, where the source says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Whether it was written.
    pub changed: bool,
}

/// Looks for what is attached to the images that change their repository or registry.
pub(super) async fn find(
    client: &Client,
    sources: &Sources,
    items: &[Item],
    resolved: &[Resolved],
    options: &Options,
) -> Result<Found, Error> {
    let mut found = Found::default();
    if options.referrers == Referrers::None {
        return Ok(found);
    }
    let run = Run {
        client,
        sources,
        options: Options {
            platforms: Vec::new(),
            tell_platforms: false,
            never_move: false,
            ..options.clone()
        },
        taken: items.iter().map(|item| &item.to).collect(),
        roots: resolved.iter().map(|image| &image.digest).collect(),
    };
    let mut known: HashMap<(Place, Place, &Digest), usize> = HashMap::new();
    let mut searches = Vec::new();
    for (number, (item, image)) in items.iter().zip(resolved).enumerate() {
        let travels = registry(item, image)
            .filter(|(_, from)| !image.kept && place(from) != place(&image.to));
        found.of_items.push(travels.map(|(source, from)| {
            let key = (place(from), place(&image.to), &image.digest);
            *known.entry(key).or_insert_with(|| {
                searches.push((number, Search { run: &run, item, source, from, image }));
                searches.len() - 1
            })
        }));
    }
    let searches = searches.into_iter().map(|(item, search)| async move {
        Ok::<_, Error>(Group { item, attached: search.all().await? })
    });
    let searches: Vec<_> = searches.collect();
    let searches = stream::iter(searches).buffered(options.parallel.max(1));
    found.groups = searches.try_collect().await?;
    Ok(found)
}

/// The repository an image comes from, if it is one: layouts are read without what refers to their images.
fn registry<'a>(
    item: &'a Item,
    image: &'a Resolved,
) -> Option<(&'a ImageReference, &'a Repository)> {
    match &item.from {
        Source::Registry(source) => Some((source, image.from.repository()?)),
        Source::Layout(_) | Source::Made(..) => None,
    }
}

/// As [`resolve`]; where signatures travel, also those in tags that were asked for by name are not laid
/// over what the destination has beside them.
pub(super) async fn resolve_beside_others(
    client: &Client,
    sources: &Sources,
    item: (usize, &Item),
    options: &Options,
) -> Result<Resolved, Error> {
    let resolved = resolve(client, sources, item, options).await?;
    if options.referrers == Referrers::None || !is_signature(&resolved.reference) {
        return Ok(resolved);
    }
    signatures::beside_others(resolved, options.keep_signatures).await
}

/// Whether it is a tag by which cosign finds signatures.
pub(super) fn is_signature(reference: &Reference) -> bool {
    matches!(reference, Reference::Tag(tag) if signatures::subject(tag).is_some() && !is_list(tag))
}

/// Whether it is a tag that lists the referrers of a digest.
pub(super) fn is_list(tag: &Tag) -> bool {
    signatures::subject(tag).is_some_and(|subject| *tag == Tag::of_referrers(&subject))
}

impl Found {
    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// What was done about those of the item with this number.
    pub(super) fn outcome(&self, item: usize) -> Vec<ReferrerOutcome> {
        let group = self.of_items.get(item).copied().flatten();
        let group = group.and_then(|group| self.groups.get(group));
        group.iter().flat_map(|group| &group.attached).map(Attached::outcome).collect()
    }
}

impl Attached {
    /// Whether clients find it by its subject rather than by its own tag.
    pub(super) fn is_listed(&self) -> bool {
        matches!(self.resolved.reference, Reference::Digest(_))
    }

    fn outcome(&self) -> ReferrerOutcome {
        ReferrerOutcome {
            reference: self.resolved.reference.to_string(),
            subject: self.subject.clone(),
            artifact_type: self.artifact_type.clone(),
            changed: self.resolved.content.is_some(),
        }
    }
}
