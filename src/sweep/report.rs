use serde::Serialize;

use crate::oci::{Digest, Tag};

/// What was found and done.
#[derive(Debug, Default, Serialize)]
pub struct Swept {
    /// Whether tags were removed; else the rest says which would be.
    pub confirm: bool,
    /// Every tag that may be a leaked one.
    pub tags: Vec<SweptTag>,
    /// What failed beside the tags: repositories that could not be listed, a state that could not be kept.
    pub failures: Vec<Failed>,
    /// Sums.
    pub totals: Totals,
}

/// One tag that may be a leaked one.
#[derive(Debug, Serialize)]
pub struct SweptTag {
    /// The repository as the job spells it.
    pub repository: String,
    /// The tag.
    pub tag: Tag,
    /// What it holds, where that is known.
    pub digest: Option<Digest>,
    /// How old it is at least, where that is known.
    pub age_seconds: Option<u64>,
    /// Who says so: `hub`, `quay`, `registry` or `state`.
    pub age_from: Option<&'static str>,
    /// What became of it.
    pub decision: Decision,
    /// Why.
    pub reason: String,
}

/// What became of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It is removed.
    Deleted,
    /// It would be, if that were confirmed.
    WouldDelete,
    /// It stays.
    Kept,
    /// Somebody else removed it meanwhile.
    Gone,
    /// It could not be looked at, or not be removed.
    Failed,
}

/// What failed beside the tags.
#[derive(Debug, Serialize)]
pub struct Failed {
    /// The repository or file.
    pub item: String,
    /// Why.
    pub message: String,
}

/// Sums over a sweep.
#[derive(Debug, Default, Serialize)]
pub struct Totals {
    /// Tags removed.
    pub deleted: usize,
    /// Tags that would be removed, if that were confirmed.
    pub would_delete: usize,
    /// Tags that could not be looked at or removed.
    pub failed: usize,
    /// HTTP requests sent.
    pub requests: u64,
    /// Requests sent again after a failure.
    pub retries: u64,
    /// Wall time.
    pub seconds: f64,
}

impl Totals {
    pub(super) fn of(tags: &[SweptTag]) -> Self {
        let count = |decision| tags.iter().filter(|tag| tag.decision == decision).count();
        Self {
            deleted: count(Decision::Deleted),
            would_delete: count(Decision::WouldDelete),
            failed: count(Decision::Failed),
            ..Self::default()
        }
    }
}
