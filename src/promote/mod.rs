//! Temporary tag → final tags, by writing manifests only.
//!
//! Phase one (`verify`) looks at every image of the whole list and writes nothing; phase two (`write`)
//! writes the bytes held since then, and on a failure puts back what it moved; at last the temporary
//! tags go (`cleanup`). Registries have no compare-and-swap, so "all or nothing" means exactly this:
//! everything is verified before the first write, each tag is looked at again just before it is
//! written, and undo touches a tag only while it still has the digest written here.

mod cleanup;
mod verify;
mod write;

use std::fmt;

use serde::Serialize;

pub use self::cleanup::{Cleanup, Removed};
use crate::client::{self, Client};
use crate::oci::{Digest, ImageReference, Tag};

/// One tag to write.
#[derive(Debug, Clone)]
pub struct Promotion {
    /// The repository as the job spells it, for messages and reports.
    pub repository: String,
    /// What waits, by its temporary tag.
    pub from: ImageReference,
    /// The final tag, in the same repository.
    pub to: Tag,
    /// The digest it must be, where the upload recorded it.
    pub expected: Option<Digest>,
    /// What the final tag must hold before, where that is demanded.
    pub current: Option<Current>,
}

/// What a tag must hold before it is moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Current {
    /// Nothing: the tag does not exist.
    Absent,
    /// This digest.
    Digest(Digest),
}

/// What may happen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Verify only.
    pub dry_run: bool,
    /// Leave the temporary tags.
    pub keep_temporary_tags: bool,
    /// Allow an index that lacks a platform of the one it replaces.
    pub allow_lost_platforms: bool,
}

/// What was promoted.
#[derive(Debug, Serialize)]
pub struct Promoted {
    /// Whether nothing was written because only a plan was wanted.
    pub dry_run: bool,
    /// Every tag, in the order asked for.
    pub promoted: Vec<PromotedTag>,
    /// What became of the temporary tags.
    pub cleanup: Vec<Cleanup>,
    /// Sums.
    pub totals: Totals,
}

/// One final tag.
#[derive(Debug, Serialize)]
pub struct PromotedTag {
    /// The repository as the job spells it.
    pub repository: String,
    /// The final tag.
    pub tag: Tag,
    /// Where it came from.
    pub temporary_tag: String,
    /// What it holds now.
    pub digest: Digest,
    /// What it held before; none if it did not exist.
    pub previous: Option<Digest>,
    /// Whether it was written (or would be, in a dry run).
    pub changed: bool,
}

/// Sums over a promotion.
#[derive(Debug, Default, Serialize)]
pub struct Totals {
    /// Manifests written.
    pub manifests_written: u64,
    /// HTTP requests sent.
    pub requests: u64,
    /// Requests sent again after a failure.
    pub retries: u64,
    /// Wall time.
    pub seconds: f64,
}

/// Why nothing was promoted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A safety rule forbids it; nothing was written.
    #[error("refused, nothing was written: {}", Reasons(.0))]
    Refused(Vec<String>),
    /// A registry could not be asked; nothing was written.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// A write failed.
    #[error("{item}: {cause}; {undone}")]
    Broken {
        /// The tag that could not be written.
        item: String,
        /// Why.
        cause: String,
        /// What became of the tags written before.
        undone: String,
    },
}

struct Reasons<'a>(&'a [String]);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [only] => f.write_str(only),
            many => many.iter().try_for_each(|reason| write!(f, "\n  {reason}")),
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
    options: Options,
) -> Result<Promoted, Error> {
    let before = client.statistics();
    let started = std::time::Instant::now();
    let verified = verify::all(client, promotions, options).await?;
    let manifests_written = if options.dry_run { 0 } else { write::all(&verified).await? };
    let cleanup = if options.dry_run || options.keep_temporary_tags {
        Vec::new()
    } else {
        cleanup::all(&verified).await
    };
    let statistics = client.statistics();
    Ok(Promoted {
        dry_run: options.dry_run,
        promoted: verified.iter().map(verify::Verified::report).collect(),
        cleanup,
        totals: Totals {
            manifests_written,
            requests: statistics.requests - before.requests,
            retries: statistics.retries - before.retries,
            seconds: started.elapsed().as_secs_f64(),
        },
    })
}
