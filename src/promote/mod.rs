//! Temporary tag → final tags, by writing manifests only.
//!
//! Phase one (`verify`) looks at every image of the whole list and writes nothing; phase two (`write`)
//! writes the bytes held since then, many tags at once, and on a failure puts back what it moved
//! (`undo`); at last the temporary tags go (`cleanup`). Registries have no compare-and-swap, so "all or
//! nothing" means exactly this: everything is verified before the first write, each tag is looked at
//! just before it is written, a write that failed is tried again and then undone, and undo touches a
//! tag only while it still has the digest written here. A look counts as made just before a write for
//! [`Sight::GOOD_FOR`](crate::client::Sight::GOOD_FOR).
//!
//! What is asked for one tag when nothing goes wrong: GET of what waits (once for all tags of one
//! source), GET of the final tag, PUT; HEAD once more before the PUT where the look is older than that.
//! A tag that is right already costs one request: HEAD where a record says that it was written, GET
//! where only the digest is known beforehand. Children of an index are asked for once each.
//!
//! What waits in another repository – what a build pushed to the intermediate registry – is brought to that of
//! its final tag first, by digest (`carry`), when everything is verified; the tags are written as above.
//!
//! Before the first write all of it stands on the disk where a `record` is kept: a run that was killed is
//! finished or put back by the next one, and `rollback` takes a finished one back.

mod builds;
mod carry;
mod cleanup;
mod error;
mod history;
mod interrupt;
mod list;
mod outcome;
mod record;
mod rollback;
mod settle;
mod undo;
mod verify;
mod write;

use std::fmt;
use std::path::Path;
use std::time::Instant;

pub use self::builds::Built;
pub use self::cleanup::{Cleanup, Removed};
pub use self::error::Error;
pub use self::history::KnownImage;
pub use self::interrupt::{Interrupt, Interrupter};
pub use self::list::List;
pub use self::outcome::{Promoted, PromotedTag, Totals};
use self::record::Record;
#[cfg(feature = "fuzzing")]
pub use self::record::fuzzing;
pub use self::record::{Doing, RecordError};
pub use self::rollback::{PutBack, RolledBack, RolledBackTag, rollback};
use self::settle::Settled;
use crate::client::Client;
use crate::copy::Progress;
use crate::oci::{Digest, ImageReference, Registry, RepositoryName, Tag};
use crate::removal::TagRemover;
use crate::zuul::{Origin, RegistryCredentials};

/// One tag to write.
#[derive(Debug, Clone)]
pub struct Promotion {
    /// The repository as the job spells it, for messages and reports.
    pub repository: String,
    /// What waits: an image in the repository of the final tag, by its temporary tag, or one elsewhere, which
    /// is brought there first.
    pub from: ImageReference,
    /// The final tag.
    pub to: FinalTag,
    /// The digest it must be, where the upload recorded it.
    pub expected: Option<Digest>,
    /// What the final tag must hold before, where that is demanded.
    pub current: Option<Current>,
}

/// A tag of a repository, `HOST[:PORT]/REPO:TAG`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FinalTag {
    /// Where.
    pub registry: Registry,
    /// Which repository there.
    pub repository: RepositoryName,
    /// Which tag of it.
    pub tag: Tag,
}

/// What a tag must hold before it is moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Current {
    /// Nothing: the tag does not exist.
    Absent,
    /// This digest.
    Digest(Digest),
}

/// What may happen, and how.
#[derive(Clone)]
pub struct Options<'a> {
    /// Verify only.
    pub dry_run: bool,
    /// Leave the temporary tags.
    pub keep_temporary_tags: bool,
    /// Allow an index that lacks a platform of the one it replaces.
    pub allow_lost_platforms: bool,
    /// Allow to replace the image of a change of the same branch that merged later.
    pub move_back: bool,
    /// Images of which it is known what they were built for, the newest last.
    pub known: &'a [KnownImage],
    /// Whom images of another registry are read for: it may refuse those of another tenant.
    pub reader: Option<Origin>,
    /// How many tags are looked at, or written, at once.
    pub parallel: usize,
    /// Where to keep what undoes the promotion.
    pub record: Option<&'a Path>,
    /// Logins: for which repositories of a record they may be used, and how their registries remove tags.
    /// Where absent no rule is checked, and registries remove tags themselves.
    pub credentials: Option<&'a RegistryCredentials>,
    /// What breaks it off.
    pub interrupt: Interrupt,
    /// Is told of blobs that are brought from elsewhere.
    pub progress: &'a dyn Progress,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            dry_run: false,
            keep_temporary_tags: false,
            allow_lost_platforms: false,
            move_back: false,
            known: &[],
            reader: None,
            parallel: 8,
            record: None,
            credentials: None,
            interrupt: Interrupt::never(),
            progress: &(),
        }
    }
}

/// Promotes all of `promotions` or none.
///
/// # Errors
/// [`Error::Refused`] names every reason at once; [`Error::Broken`] says what was put back.
pub async fn promote(
    client: &Client,
    promotions: &[Promotion],
    options: &Options<'_>,
) -> Result<Promoted, Error> {
    let (started, before) = (Instant::now(), client.statistics());
    let mut interrupt = options.interrupt.clone();
    let mut record = Record::open(options.record, options.dry_run).await?;
    let preparing = async {
        let registries = promotions.iter().map(|promotion| promotion.to.registry.clone());
        let remover = options.remover(client, registries).await?;
        let settled = settle::verified(client, promotions, options, record.as_mut()).await?;
        record.as_ref().map_or(Ok(()), |record| record.admit(&settled.verified))?;
        let carried = carry::all(client, &settled.verified, options).await?;
        Ok::<_, Error>((remover, settled, carried))
    };
    let (remover, Settled { verified, unfinished }, carried) = tokio::select! {
        prepared = preparing => prepared?,
        () = interrupt.next() => return Err(Error::Interrupted),
    };
    let mut cleanup = Vec::new();
    let mut manifests_written = 0;
    if !options.dry_run {
        let phase = write::Phase {
            verified: &verified,
            unfinished,
            remover: &remover,
            parallel: options.parallel,
        };
        phase.run(record.as_mut(), &mut interrupt).await?;
        manifests_written = verified.iter().filter(|verified| verified.change.is_some()).count();
        if !options.keep_temporary_tags {
            let parallel = options.parallel;
            cleanup = cleanup::all(&verified, &remover, parallel, &mut interrupt).await;
        }
    }
    Ok(Promoted {
        dry_run: options.dry_run,
        totals: Totals::since(started, before, client.statistics(), manifests_written),
        promoted: verified.iter().map(PromotedTag::from).collect(),
        cleanup,
        carried,
    })
}

impl Options<'_> {
    /// How each of these registries removes tags.
    async fn remover(
        &self,
        client: &Client,
        registries: impl IntoIterator<Item = Registry>,
    ) -> Result<TagRemover, Error> {
        Ok(TagRemover::new(client, self.credentials, registries, None).await?)
    }
}

impl Promotion {
    /// Whether it waits in another repository than that of its final tag.
    pub(crate) fn is_carried(&self) -> bool {
        self.from.registry != self.to.registry || self.from.repository != self.to.repository
    }
}

impl FinalTag {
    /// A tag of the repository of an image.
    #[must_use]
    pub fn beside(image: &ImageReference, tag: Tag) -> Self {
        let (registry, repository) = (image.registry.clone(), image.repository.clone());
        Self { registry, repository, tag }
    }
}

impl fmt::Display for FinalTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry, self.repository, self.tag)
    }
}
