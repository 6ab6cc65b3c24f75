use std::time::Instant;

use serde::Serialize;

use super::Cleanup;
use super::verify::Verified;
use crate::copy;
use crate::http::Statistics;
use crate::oci::{Digest, Tag};

/// What was promoted.
#[derive(Debug, Serialize)]
pub struct Promoted {
    /// Whether nothing was written because only a plan was wanted.
    pub dry_run: bool,
    /// Every tag, in the order asked for.
    pub promoted: Vec<PromotedTag>,
    /// What became of the temporary tags.
    pub cleanup: Vec<Cleanup>,
    /// What was brought from other repositories; none where all waited in their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried: Option<copy::Totals>,
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

impl Totals {
    pub(super) fn since(
        started: Instant,
        before: Statistics,
        now: Statistics,
        manifests_written: usize,
    ) -> Self {
        Self {
            manifests_written: manifests_written as u64,
            requests: now.requests - before.requests,
            retries: now.retries - before.retries,
            seconds: started.elapsed().as_secs_f64(),
        }
    }
}

impl From<&Verified<'_>> for PromotedTag {
    fn from(verified: &Verified<'_>) -> Self {
        let Verified { promotion, digest, change, .. } = verified;
        Self {
            repository: promotion.repository.clone(),
            tag: promotion.to.tag.clone(),
            temporary_tag: promotion.from.reference.to_string(),
            digest: digest.clone(),
            previous: match change {
                Some(change) => change.seen.held().cloned(),
                None => Some(digest.clone()),
            },
            changed: change.is_some(),
        }
    }
}
