//! Carries images from a repository, layout or archive to a repository: looks, plans, moves, tags last.
//!
//! Bytes are never re-encoded (image-spec, "descriptor.md": a digest names bytes). Nothing is
//! tagged before everything of every image is in place; every blob is read once and sent once to
//! each registry, mounted into its other repositories (distribution-spec, "Mounting a blob from
//! another repository"), and streamed from source to destination, by way of a temporary file only
//! where several registries need it. What refers to
//! an image can travel with it. How a request is made is `client`'s, how files are read is `layout`'s;
//! which images go where is decided above.

mod blobs;
mod empty;
mod error;
mod plan;
mod progress;
mod queue;
mod reader;
mod referrers;
mod resolve;
mod run;
mod shared;
mod source;
mod tally;

use serde::{Serialize, Serializer};

pub use self::error::Error;
pub use self::progress::{Moving, Progress};
pub use self::reader::Source;
pub use self::referrers::{ReferrerOutcome, Referrers};
pub use self::run::{run, run_all_tags};

use crate::oci::{Digest, ImageReference, Platform};
use crate::zuul::Origin;

/// One image to carry.
#[derive(Debug, Clone)]
pub struct Item<S = Source> {
    /// What people call it, for the outcome: `<repository>:<tag>` as a job spells it.
    pub name: String,
    /// Where it is.
    pub from: S,
    /// Where it is to be.
    pub to: ImageReference,
    /// Refuse if the source is another digest than this.
    pub expect: Option<Digest>,
    /// Which builds it is carried from and for.
    pub builds: Builds,
}

impl From<Item<ImageReference>> for Item {
    fn from(item: Item<ImageReference>) -> Self {
        let Item { name, from, to, expect, builds } = item;
        Self { name, from: from.into(), to, expect, builds }
    }
}

/// What registries are told of the builds behind an image; those that do not know builds ignore it.
#[derive(Debug, Clone, Default)]
pub struct Builds {
    /// Whom it is pulled for: the source may refuse another tenant.
    pub reader: Option<Origin>,
    /// Which build it is from: kept with the tag at the destination.
    pub origin: Option<Origin>,
    /// Leave what the destination's own builds have pushed, which is what has no origin there.
    pub keep_pushed: bool,
}

/// How to carry.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many things are done at once.
    pub parallel: usize,
    /// Only look; the outcome says what would be done.
    pub dry_run: bool,
    /// Only these platforms; all if empty. An index is never rewritten: one platform is carried as
    /// the image it is, several only if they are all there are.
    pub platforms: Vec<Platform>,
    /// Tell the platforms of an index that is in place, too: its source is then asked by GET instead of
    /// by HEAD, so for a few kilobytes, but with as many requests.
    pub tell_platforms: bool,
    /// Which signatures and other referrers travel along.
    pub referrers: Referrers,
    /// Leave a tag with signatures at the destination that would lose some of them.
    pub keep_signatures: bool,
    /// Refuse an item whose destination is another image, now or when its turn comes to be written.
    pub never_move: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parallel: 8,
            dry_run: false,
            platforms: Vec::new(),
            tell_platforms: false,
            referrers: Referrers::None,
            keep_signatures: false,
            never_move: false,
        }
    }
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Whether it was only looked; all else says what would be done.
    pub dry_run: bool,
    /// One entry per item, in their order.
    pub images: Vec<ImageOutcome>,
    /// Every blob that was looked for, if it was only looked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<PlannedBlob>,
    /// Sums over all.
    pub totals: Totals,
}

/// What was done about one image.
#[derive(Debug, Clone, Serialize)]
pub struct ImageOutcome {
    /// What people call it.
    pub name: String,
    /// Where it was.
    #[serde(serialize_with = "as_text")]
    pub from: Source,
    /// Where it is now.
    #[serde(serialize_with = "as_text")]
    pub to: ImageReference,
    /// Its digest, the same at both places; that of the destination where it was kept.
    pub digest: Digest,
    /// The platforms its index names; empty for a single image, and for one that was in place
    /// already and so was not read, unless [`Options::tell_platforms`] was set.
    pub platforms: Vec<Platform>,
    /// Whether the destination was written.
    pub changed: bool,
    /// Whether the destination was left as it is because its own builds pushed there, or because it has
    /// all signatures that the source has, and others.
    pub kept: bool,
    /// What became of the blobs it needs; what images share counts for the first of them.
    pub blobs: Blobs,
    /// What is attached to it and travelled along.
    pub referrers: Vec<ReferrerOutcome>,
}

/// Blobs by what became of them, counted once for each repository. Those below manifests that were in
/// place already were not looked for, and are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Blobs {
    /// Sent.
    pub moved: Amount,
    /// Taken by the destination from another of its repositories.
    pub mounted: Amount,
    /// There before.
    pub present: Amount,
}

/// So many blobs with so many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What would become of a blob.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedBlob {
    /// The name of the first image that needs it.
    pub image: String,
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The repository that needs it, `HOST[:PORT]/REPO`.
    pub to: String,
    /// What would be done.
    pub action: Action,
    /// The repository it would be read or mounted from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// How a blob comes to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Its bytes are sent.
    Move,
    /// The destination takes it from another of its repositories.
    Mount,
    /// None is needed: it is there.
    Present,
}

/// Sums over a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Blobs whose bytes were sent, counted once per repository.
    pub blobs_moved: u64,
    /// Blobs the destination took from another of its repositories.
    pub blobs_mounted: u64,
    /// Blobs that were there.
    pub blobs_present: u64,
    /// Bytes of blobs sent.
    pub bytes_moved: u64,
    /// Bytes of blobs the destination took from another of its repositories.
    pub bytes_mounted: u64,
    /// Bytes of blobs that were there.
    pub bytes_present: u64,
    /// Manifests written, by digest and by tag.
    pub manifests_written: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests sent again.
    pub retries: u64,
    /// How long it took.
    pub seconds: f64,
}

fn as_text<S: Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}
