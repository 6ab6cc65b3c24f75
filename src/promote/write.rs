use super::Error;
use super::verify::Verified;
use crate::client::{self, Deleted};
use crate::oci::{Digest, Manifest, Reference};

/// Writes every tag, in order; returns how many manifests were written. On a failure the tags
/// written before are put back.
pub(super) async fn all(verified: &[Verified<'_>]) -> Result<u64, Error> {
    let mut written: Vec<(&Verified<'_>, &Manifest)> = Vec::new();
    for promotion in verified {
        let Some(manifest) = &promotion.write else { continue };
        if let Err(cause) = one(promotion, manifest).await {
            let undone = undo(&written).await;
            return Err(Error::Broken { item: promotion.item(), cause, undone });
        }
        written.push((promotion, manifest));
    }
    Ok(written.len() as u64)
}

async fn one(promotion: &Verified<'_>, manifest: &Manifest) -> Result<(), String> {
    let tag = Reference::Tag(promotion.promotion.to.clone());
    let held = promotion.repository.head(&tag).await.map_err(|e| e.to_string())?;
    let held = held.map(|held| held.digest);
    let seen = promotion.previous.as_ref().map(|previous| previous.digest().clone());
    if held != seen {
        let name = |digest: Option<Digest>| digest.map_or("nothing".to_owned(), |d| d.to_string());
        return Err(format!(
            "somebody else moved the tag meanwhile: it held {}, now {}",
            name(seen),
            name(held)
        ));
    }
    promotion.repository.put_manifest(&tag, manifest).await.map_err(|error| error.to_string())
}

/// Puts back, newest first, every tag that still holds what was written here; says what came of it.
async fn undo(written: &[(&Verified<'_>, &Manifest)]) -> String {
    let mut left = Vec::new();
    for (promotion, manifest) in written.iter().rev() {
        match undo_one(promotion, manifest).await {
            Ok(None) => {}
            Ok(Some(reason)) => left.push(format!("{} ({reason})", promotion.item())),
            Err(error) => left.push(format!("{} ({error})", promotion.item())),
        }
    }
    match (written.is_empty(), left.is_empty()) {
        (true, _) => "nothing had been written before".to_owned(),
        (_, true) => format!("the {} tags written before were put back", written.len()),
        (_, false) => format!("could not put back: {}", left.join(", ")),
    }
}

/// None when the tag is as it was, else why it is not.
async fn undo_one(
    promotion: &Verified<'_>,
    manifest: &Manifest,
) -> Result<Option<&'static str>, client::Error> {
    let repository = &promotion.repository;
    let tag = Reference::Tag(promotion.promotion.to.clone());
    let held = repository.head(&tag).await?;
    if held.is_none_or(|held| held.digest != *manifest.digest()) {
        return Ok(Some("somebody else moved it meanwhile, left alone"));
    }
    match &promotion.previous {
        Some(previous) => {
            repository.put_manifest(&tag, previous).await?;
            Ok(None)
        }
        // By tag only: deleting by digest would take every other tag of the image along.
        None => Ok(match repository.delete(&tag).await? {
            Deleted::Done | Deleted::Absent => None,
            Deleted::Unsupported => Some("it is new, and this registry deletes no tags"),
        }),
    }
}
