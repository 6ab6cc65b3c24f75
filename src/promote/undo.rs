use std::time::Instant;

use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;

use super::FinalTag;
use crate::client::{self, Client, Deleted, Repository, Sight, TagMove};
use crate::oci::{Digest, Manifest, Reference};
use crate::removal::{self, TagRemover};

/// A tag that was written, or may have been.
pub(super) struct Written {
    pub(super) tag: FinalTag,
    pub(super) repository: Repository,
    /// What was written.
    pub(super) digest: Digest,
    /// What it held before; none if it did not exist.
    pub(super) before: Option<Manifest>,
}

/// What became of a tag that was to be put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PutBack {
    /// It is as it was before.
    Done,
    /// It was so already.
    Already,
    /// Somebody else moved it meanwhile; it is left alone.
    Moved,
    /// It was new, and this registry deletes no tags; it stays.
    Unsupported,
    /// What it held before is no longer whole; it stays.
    Incomplete(String),
    /// The registry failed or said no.
    Failed(String),
}

impl PutBack {
    /// Why the tag is not as it was before.
    pub(super) fn left(&self) -> Option<String> {
        match self {
            Self::Done | Self::Already => None,
            Self::Moved => Some("somebody else moved it meanwhile, left alone".to_owned()),
            Self::Unsupported => Some("it is new, and this registry deletes no tags".to_owned()),
            Self::Incomplete(reason) | Self::Failed(reason) => Some(reason.clone()),
        }
    }

    /// Whether trying once more could end otherwise.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// Puts tags back, many at once. What one of them ends with changes nothing for the others.
pub(super) async fn all(
    written: Vec<Written>,
    remover: &TagRemover,
    parallel: usize,
) -> Vec<(FinalTag, PutBack)> {
    let undone = stream::iter(written).map(async |written: Written| {
        let undone = written.put_back(remover).await;
        (written.tag, undone)
    });
    undone.buffered(parallel.max(1)).collect().await
}

impl Written {
    pub(super) fn new(
        client: &Client,
        tag: &FinalTag,
        digest: &Digest,
        before: Option<Manifest>,
    ) -> Self {
        let repository = client.repository(&tag.registry, &tag.repository).writable();
        Self { tag: tag.clone(), repository, digest: digest.clone(), before }
    }

    /// Puts the tag back while it holds what was written.
    pub(super) async fn put_back(&self, remover: &TagRemover) -> PutBack {
        let undone = match self.look().await {
            Ok(Ok(sight)) => self.undo(&sight, remover).await,
            Ok(Err(needless)) => Ok(needless),
            Err(error) => Err(error.into()),
        };
        undone.unwrap_or_else(|error| PutBack::Failed(error.to_string()))
    }

    /// What that would end with; nothing is written.
    pub(super) async fn would_put_back(&self) -> PutBack {
        match self.look().await {
            Ok(seen) => seen.err().unwrap_or(PutBack::Done),
            Err(error) => PutBack::Failed(error.to_string()),
        }
    }

    /// Whether the tag holds what was written; if not, why there is nothing to put back.
    async fn look(&self) -> Result<Result<Sight, PutBack>, client::Error> {
        let asked = Instant::now();
        let held = self.repository.head(&Reference::Tag(self.tag.tag.clone())).await?;
        let held = held.map(|held| held.digest);
        let before = self.before.as_ref().map(Manifest::digest);
        Ok(match held {
            Some(held) if held == self.digest => Ok(Sight::new(Some(held), asked)),
            held if held.as_ref() == before => Err(PutBack::Already),
            _ => Err(PutBack::Moved),
        })
    }

    async fn undo(&self, seen: &Sight, remover: &TagRemover) -> Result<PutBack, removal::Error> {
        let tag = &self.tag.tag;
        match &self.before {
            Some(before) => Ok(match self.repository.move_tag(tag, seen, before).await? {
                TagMove::Done | TagMove::There => PutBack::Done,
                TagMove::Meanwhile(_) => PutBack::Moved,
                TagMove::Barred(error) => PutBack::Failed(error.to_string()),
            }),
            // By tag only: deleting by digest would take every other tag of the image along.
            None => Ok(match remover.remove(&self.repository, tag).await? {
                Deleted::Done | Deleted::Absent => PutBack::Done,
                Deleted::Unsupported => PutBack::Unsupported,
            }),
        }
    }
}
