//! Carries images from registry to registry.

use serde::Serialize;

use crate::client::Client;
use crate::oci::{Descriptor, Digest, ImageReference, Platform};

/// One image to carry.
#[derive(Debug, Clone)]
pub struct Item {
    /// Where it is.
    pub from: ImageReference,
    /// Where it is to be.
    pub to: ImageReference,
    /// Refuse if the source is another digest than this.
    pub expect: Option<Digest>,
}

/// How to carry.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many things are done at once.
    pub parallel: usize,
    /// Only look.
    pub dry_run: bool,
    /// Only these platforms; all if empty.
    pub platforms: Vec<Platform>,
}

/// What was done.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// One entry per item, in their order.
    pub images: Vec<ImageOutcome>,
    /// Sums over all.
    pub totals: Totals,
}

/// What was done about one image.
#[derive(Debug, Clone, Serialize)]
pub struct ImageOutcome {
    /// Where it was.
    #[serde(serialize_with = "display")]
    pub from: ImageReference,
    /// Where it is now.
    #[serde(serialize_with = "display")]
    pub to: ImageReference,
    /// Its digest, the same at both places.
    pub digest: Digest,
    /// The platforms its index names.
    pub platforms: Vec<Platform>,
    /// Whether the destination was written.
    pub changed: bool,
}

fn display<S: serde::Serializer>(
    value: &impl std::fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Sums over a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Blobs whose bytes were sent.
    pub blobs_moved: u64,
    /// Blobs the destination took from another of its repositories.
    pub blobs_mounted: u64,
    /// Blobs that were there.
    pub blobs_present: u64,
    /// Bytes of blobs sent.
    pub bytes_moved: u64,
    /// Manifests written, tags among them.
    pub manifests_written: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests sent again.
    pub retries: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Is told how the copy goes on.
pub trait Progress: Sync {
    /// A blob begins to move.
    fn blob_started(&self, blob: &Descriptor) {
        let _ = blob;
    }
    /// So many more bytes have moved.
    fn bytes(&self, count: u64) {
        let _ = count;
    }
    /// A blob is in place.
    fn blob_done(&self, blob: &Descriptor) {
        let _ = blob;
    }
}

/// Nobody is told.
impl Progress for () {}

/// Why images were not carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A registry failed.
    #[error("{item}: {source}")]
    Client {
        /// Which image.
        item: String,
        /// What happened.
        source: crate::client::Error,
    },
}

/// Carries all items; tags are written after everything else is in place.
///
/// # Errors
/// The first failure; nothing is tagged then.
pub async fn run(
    client: &Client,
    items: Vec<Item>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let _ = (client, items, options, progress);
    todo!()
}
