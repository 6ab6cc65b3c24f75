use std::collections::HashSet;

use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;

use super::Interrupt;
use super::verify::Verified;
use crate::client::Deleted;
use crate::oci::{Reference, Tag};
use crate::removal::{self, TagRemover};

/// What became of one temporary tag.
#[derive(Debug, Serialize)]
pub struct Cleanup {
    /// The repository as the job spells it.
    pub repository: String,
    /// The temporary tag.
    pub tag: String,
    /// How it went.
    pub result: Removed,
}

/// How the removal of a temporary tag went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removed {
    /// It is gone.
    Done,
    /// It was gone already, or holds a later upload, which is left alone.
    Absent,
    /// This registry deletes no tags; the tag stays.
    Unsupported,
    /// The registry said no.
    Failed(String),
}

/// Removes the temporary tags, of the final tags' own repositories only, by tag and never by digest: that
/// would take the final tag along. A failure is told and logged but fails nothing, the promotion is
/// already done. An interruption leaves the others where they are.
pub(super) async fn all(
    verified: &[Verified<'_>],
    remover: &TagRemover,
    parallel: usize,
    interrupt: &mut Interrupt,
) -> Vec<Cleanup> {
    let mut seen = HashSet::new();
    let temporary = verified.iter().filter_map(|verified| {
        let promotion = verified.promotion;
        match &promotion.from.reference {
            Reference::Tag(tag) if *tag != promotion.to.tag && !promotion.is_carried() => {
                seen.insert(&promotion.from).then_some((verified, tag))
            }
            _ => None,
        }
    });
    let removals = temporary.map(|(verified, tag)| remove(verified, tag, remover));
    let removals = stream::iter(removals).buffered(parallel.max(1));
    removals.take_until(interrupt.next()).collect().await
}

async fn remove(verified: &Verified<'_>, tag: &Tag, remover: &TagRemover) -> Cleanup {
    let repository = verified.promotion.repository.clone();
    let result = match try_to_remove(verified, tag, remover).await {
        Ok(Deleted::Done) => Removed::Done,
        Ok(Deleted::Absent) => Removed::Absent,
        Ok(Deleted::Unsupported) => {
            tracing::warn!("{repository}:{tag} stays: the registry deletes no tags");
            Removed::Unsupported
        }
        Err(error) => {
            tracing::warn!("{repository}:{tag} stays: {error}");
            Removed::Failed(error.to_string())
        }
    };
    Cleanup { repository, tag: tag.to_string(), result }
}

async fn try_to_remove(
    verified: &Verified<'_>,
    tag: &Tag,
    remover: &TagRemover,
) -> Result<Deleted, removal::Error> {
    let held = verified.repository.head(&Reference::Tag(tag.clone())).await?;
    if held.is_none_or(|held| held.digest != verified.digest) {
        return Ok(Deleted::Absent);
    }
    remover.remove(&verified.repository, tag).await
}
