use std::time::SystemTime;

use serde::Serialize;

use super::details::Details;
use crate::layers::{Layer, UpstreamReport};
use crate::oci::{Digest, RepositoryName, Tag};
use crate::zuul::Origin;

/// What `/status` says, as JSON (docs/watch.md) and as the page. Times are RFC 3339, sizes bytes.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    #[serde(serialize_with = "moment")]
    pub(super) now: SystemTime,
    #[serde(serialize_with = "moment")]
    pub(super) started: SystemTime,
    pub(super) store: Store,
    pub(super) now_running: Running,
    pub(super) requests: Requests,
    pub(super) bytes: Bytes,
    pub(super) saved: Saved,
    pub(super) upstreams: Vec<UpstreamReport>,
    pub(super) images: Images,
}

#[derive(Debug, Serialize)]
pub(super) struct Store {
    pub(super) usable: bool,
    pub(super) reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(super) struct Running {
    pub(super) requests: i64,
    pub(super) uploads: i64,
    pub(super) connections: i64,
}

#[derive(Debug, Serialize)]
pub(super) struct Requests {
    pub(super) total: u64,
    /// Answered with 5xx.
    pub(super) failed: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Bytes {
    /// Of blobs, from clients.
    pub(super) received: u64,
    /// Of blobs, to clients, by the layer that had them.
    pub(super) sent: Sent,
}

/// By layer.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Sent {
    pub(super) local: u64,
    pub(super) speculative: u64,
    pub(super) cache: u64,
    pub(super) upstream: u64,
}

/// What nobody had to send.
#[derive(Debug, Serialize)]
pub(super) struct Saved {
    /// Bytes of blobs that clients got from here and no upstream was asked for.
    pub(super) answered_here: u64,
    /// Blobs a pushing client asked for and need not send.
    pub(super) known: Count,
    /// Blobs that were mounted from another repository.
    pub(super) mounted: Count,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Count {
    pub(super) blobs: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Images {
    /// How many are listed.
    pub(super) listed: usize,
    /// How many older ones are not, for want of room.
    pub(super) left_out: u64,
    /// Whether everything that was in the store at the start has been looked at.
    pub(super) complete: bool,
    pub(super) entries: Vec<Image>,
    /// Where the newer and the older ones are.
    pub(super) newer: Option<String>,
    pub(super) older: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Image {
    pub(super) repository: RepositoryName,
    pub(super) tag: Tag,
    pub(super) layer: &'static str,
    pub(super) digest: Digest,
    /// Whether its manifest is here, and not only a pointer to it.
    pub(super) fetched: bool,
    /// Nothing for what a pointer names: that was pushed elsewhere.
    #[serde(serialize_with = "perhaps_moment")]
    pub(super) pushed: Option<SystemTime>,
    pub(super) pulls: u64,
    pub(super) origin: Option<Origin>,
    #[serde(flatten)]
    pub(super) details: Details,
}

impl Saved {
    pub(super) fn bytes(&self) -> u64 {
        self.answered_here + self.known.bytes + self.mounted.bytes
    }
}

impl Bytes {
    /// Uppermost first.
    pub(super) fn by_layer(&self) -> [(Layer, u64); 4] {
        let Sent { local, speculative, cache, upstream } = self.sent;
        [
            (Layer::Local, local),
            (Layer::Speculative, speculative),
            (Layer::Cache, cache),
            (Layer::Upstream, upstream),
        ]
    }

    pub(super) fn all_sent(&self) -> u64 {
        self.by_layer().iter().map(|(_, bytes)| bytes).sum()
    }
}

/// A moment as people and machines read it.
pub(super) fn rfc3339(moment: SystemTime) -> String {
    jiff::Timestamp::try_from(moment)
        .map(|moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}

fn moment<S: serde::Serializer>(moment: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*moment))
}

fn perhaps_moment<S: serde::Serializer>(
    moment: &Option<SystemTime>,
    to: S,
) -> Result<S::Ok, S::Error> {
    moment.map(rfc3339).serialize(to)
}
