//! Multi-architecture indexes: composed from one image for each architecture, and published without ever
//! losing an architecture by accident.
//!
//! An index is composed here byte by byte (image-spec, image-index.md; Docker's manifest list), always the
//! same from the same images. Everything is looked at before the first write; then the images go to every
//! repository by digest (`copy`), and the index under each tag that may have it. A tag is refused that would
//! lose an architecture, or go back behind a newer build. Where images are moved is `copy`'s; whom to tell
//! of it is decided above.

mod architecture;
mod compose;
mod convert;
mod current;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod input;
mod judge;
mod metadata;
mod outcome;
mod tree;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

pub use self::architecture::Architecture;
pub use self::error::Error;
pub use self::input::Input;
pub use self::metadata::{MetadataFile, Record};
pub use self::outcome::{Member, Published, State, TargetOutcome};
pub use self::tree::{Found, Tree};

use self::input::Child;
use self::judge::Planned;
use crate::client::Client;
use crate::copy::{self, Builds, Item, Progress};
use crate::oci::{ImageReference, Platform, Reference, Tag};

/// What is published where.
#[derive(Debug, Clone)]
pub struct Publication {
    /// One image for each architecture.
    pub images: Vec<Input>,
    /// Any image of each repository.
    pub repositories: Vec<ImageReference>,
    /// The tags of the index in each of them.
    pub tags: Vec<Tag>,
    /// Annotations of the index.
    pub annotations: BTreeMap<String, String>,
    /// What may happen.
    pub rules: Rules,
}

/// What may happen.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// What becomes of an architecture that a tag has and the build lacks.
    pub on_missing: OnMissing,
    /// Architectures that a tag may lose.
    pub allow_drop: Vec<Architecture>,
    /// Write tags that hold the index already, too.
    pub force: bool,
    /// Let a tag go back to an older build.
    pub move_back: bool,
    /// Tag each image as `<tag>-<architecture>`, too.
    pub architecture_tags: bool,
    /// Make all images docker's, whatever they are.
    pub v2s2: bool,
}

/// What becomes of an architecture that a tag has and the build lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnMissing {
    /// The tag is left as it is.
    #[default]
    Refuse,
    /// The image that the tag has for it is kept.
    Hybrid,
    /// It is lost.
    Drop,
}

/// Publishes an index.
///
/// # Errors
/// What can be seen before the first write. A tag that is refused, or that cannot be written, is an outcome.
pub async fn publish(
    client: &Client,
    publication: &Publication,
    options: &copy::Options,
    progress: &dyn Progress,
) -> Result<Published, Error> {
    let (started, before) = (Instant::now(), client.statistics());
    let parallel = options.parallel.max(1);
    publication.check()?;
    let v2s2 = publication.rules.v2s2;
    let read = publication.images.iter().map(|input| input::read(client, input, v2s2));
    let mut children: Vec<Child> =
        stream::iter(read).buffered(parallel).try_collect::<Vec<_>>().await?;
    children.sort_by(|one, other| one.descriptor.platform.cmp(&other.descriptor.platform));
    let index = compose::index(children.iter().map(|it| &it.descriptor), &publication.annotations)?;
    let looks = publication
        .repositories
        .iter()
        .map(|repository| judge::all(client, repository, publication, &children, &index));
    let planned: Vec<Vec<Planned>> = stream::iter(looks).buffered(parallel).try_collect().await?;

    let items = publication.items(&children, &planned);
    let copied = copy::run(client, items, options, progress).await?;
    let mut totals = copied.totals;
    let mut targets = Vec::new();
    for planned in planned.into_iter().flatten() {
        let target = write::target(client, planned, publication.rules.force, options.dry_run).await;
        totals.manifests_written += u64::from(target.state == State::Published);
        targets.push(target);
    }
    let writes = match options.dry_run {
        true => outcome::writes(&copied, &targets),
        false => Vec::new(),
    };
    let now = client.statistics();
    totals.requests = now.requests - before.requests;
    totals.retries = now.retries - before.retries;
    totals.seconds = started.elapsed().as_secs_f64();
    Ok(Published {
        dry_run: options.dry_run,
        digest: index.digest().clone(),
        media_type: index.media_type().to_owned(),
        members: children.iter().map(Member::from).collect(),
        architecture_tags: outcome::architecture_tags(&copied),
        targets,
        writes,
        plan: copied.plan,
        totals,
    })
}

impl Publication {
    fn check(&self) -> Result<(), Error> {
        let mut seen: BTreeSet<Platform> = BTreeSet::new();
        for input in &self.images {
            if !seen.insert(input.architecture.platform().clone().usual()) {
                return Err(Error::Twice(input.architecture.to_string()));
            }
        }
        let mut targets = BTreeSet::new();
        for (repository, tag) in self.targets() {
            if !targets.insert((&repository.registry, &repository.repository, tag)) {
                return Err(Error::TargetTwice(repository.at(tag.clone()).to_string()));
            }
        }
        match seen.is_empty() {
            true => Err(Error::Nothing),
            false => Ok(()),
        }
    }

    fn targets(&self) -> impl Iterator<Item = (&ImageReference, &Tag)> {
        let all = |repository| self.tags.iter().map(move |tag| (repository, tag));
        self.repositories.iter().flat_map(all)
    }

    /// The images as they go to the repositories: by digest to those where a tag will list them, and under the
    /// tags of their architectures, which are written whatever becomes of the index.
    fn items(&self, children: &[Child], planned: &[Vec<Planned>]) -> Vec<Item> {
        let mut items = Vec::new();
        for (repository, planned) in self.repositories.iter().zip(planned) {
            let is_listed = planned.iter().any(|it| it.lists_new_images(self.rules.force));
            for child in children {
                let digest = Reference::Digest(child.descriptor.digest.clone());
                let tags = self.tags.iter().filter(|_| self.rules.architecture_tags);
                let tags = tags.filter_map(|tag| child.architecture.tag(tag)).map(Reference::Tag);
                for reference in is_listed.then_some(digest).into_iter().chain(tags) {
                    let to = ImageReference { tag: None, ..repository.at(reference) };
                    items.push(Item {
                        name: to.to_string(),
                        from: child.source.clone(),
                        to,
                        expect: Some(child.descriptor.digest.clone()),
                        builds: Builds::default(),
                    });
                }
            }
        }
        items
    }
}
