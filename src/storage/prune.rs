use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::oci::{Digest, RepositoryName, Tag};

/// What is to be removed from a store.
#[derive(Debug, Clone)]
pub struct Pruning {
    /// Manifests nobody has pushed or pulled for so long, and that no manifest which stays needs.
    pub older_than: Duration,
    /// A blob no manifest needs goes when it has not been pushed, mounted, asked for or named by a
    /// manifest for so long: it may belong to an image whose manifest is still to come, so this should
    /// be longer than the longest push.
    pub grace: Duration,
    /// Manifests that stay with all they need, however old they are.
    pub keep: BTreeSet<Digest>,
    /// Only say what would be removed.
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Pruned {
    /// Images and indexes.
    pub manifests: Vec<PrunedManifest>,
    /// Blobs, each once, whichever repositories it was readable through.
    pub blobs: Vec<PrunedBlob>,
    /// Sums.
    pub totals: PruneTotals,
}

/// A manifest that was removed.
#[derive(Debug, Clone, Serialize)]
pub struct PrunedManifest {
    /// Where.
    pub repository: RepositoryName,
    /// Which.
    pub digest: Digest,
    /// The tags that went with it.
    pub tags: Vec<Tag>,
    /// When it was last pushed or pulled, to the hour.
    #[serde(serialize_with = "timestamp")]
    pub used: SystemTime,
    /// Why it went.
    pub why: String,
}

/// A blob that was made unreadable through repositories.
#[derive(Debug, Clone, Serialize)]
pub struct PrunedBlob {
    /// Which.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The repositories whose manifests do not need it.
    pub repositories: Vec<RepositoryName>,
    /// Whether no repository is left, so that its space is free.
    pub freed: bool,
    /// Why it went.
    pub why: String,
}

/// Sums of a run.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct PruneTotals {
    /// Manifests that went.
    pub manifests_removed: u64,
    /// Manifests that stayed.
    pub manifests_kept: u64,
    /// Of those, how many are old and needed by others.
    pub manifests_needed: u64,
    /// Tags that went.
    pub tags_removed: u64,
    /// Blobs whose space is free.
    pub blobs_removed: u64,
    /// Blobs that stayed.
    pub blobs_kept: u64,
    /// Their bytes.
    pub bytes_freed: u64,
}

impl PrunedManifest {
    /// When it was last pushed or pulled, `2026-01-31T12:00:00Z`.
    #[must_use]
    pub fn used_text(&self) -> String {
        text(self.used)
    }
}

fn text(moment: SystemTime) -> String {
    let moment = jiff::Timestamp::try_from(moment).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn timestamp<S: serde::Serializer>(moment: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text(*moment))
}

impl Pruned {
    /// Counts what is listed.
    pub(super) fn sum(mut self) -> Self {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let freed = || self.blobs.iter().filter(|blob| blob.freed);
        self.totals.manifests_removed = count(self.manifests.len());
        self.totals.tags_removed = count(self.manifests.iter().map(|gone| gone.tags.len()).sum());
        self.totals.blobs_removed = count(freed().count());
        self.totals.bytes_freed = freed().map(|blob| blob.size).sum();
        self
    }
}
