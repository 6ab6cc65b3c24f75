use serde::Serialize;

use super::verify::Verified;
use crate::client::{self, Deleted};
use crate::oci::Reference;

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

/// Removes the temporary tags, by tag and never by digest: that would take the final tag along. A
/// failure is told and logged but fails nothing, the promotion is already done.
pub(super) async fn all(verified: &[Verified<'_>]) -> Vec<Cleanup> {
    let mut cleanup = Vec::new();
    for promotion in verified {
        let from = &promotion.promotion.from.reference;
        if !matches!(from, Reference::Tag(tag) if *tag != promotion.promotion.to) {
            continue;
        }
        let item = format!("{}:{from}", promotion.promotion.repository);
        let result = match one(promotion, from).await {
            Ok(Deleted::Done) => Removed::Done,
            Ok(Deleted::Absent) => Removed::Absent,
            Ok(Deleted::Unsupported) => {
                tracing::warn!("{item} stays: the registry deletes no tags");
                Removed::Unsupported
            }
            Err(error) => {
                tracing::warn!("{item} stays: {error}");
                Removed::Failed(error.to_string())
            }
        };
        cleanup.push(Cleanup {
            repository: promotion.promotion.repository.clone(),
            tag: from.to_string(),
            result,
        });
    }
    cleanup
}

async fn one(promotion: &Verified<'_>, from: &Reference) -> Result<Deleted, client::Error> {
    let held = promotion.repository.head(from).await?;
    if held.is_none_or(|held| held.digest != promotion.digest) {
        return Ok(Deleted::Absent);
    }
    promotion.repository.delete(from).await
}
