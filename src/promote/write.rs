use super::Error;
use super::verify::Verified;
use crate::client::{self, Deleted};
use crate::oci::{Digest, Manifest, Reference};

/// Writes every tag, in order; returns how many manifests were written. On a failure the tags
/// written before are put back.
pub(super) async fn all(verified: &[Verified<'_>]) -> Result<u64, Error> {
    let mut written: Vec<Written<'_>> = Vec::new();
    for promotion in verified {
        let Some(manifest) = &promotion.write else { continue };
        let tag = Written { promotion, manifest };
        match tag.write().await {
            Ok(()) => written.push(tag),
            Err(cause) => return Err(broken(written, tag, cause).await),
        }
    }
    Ok(written.len() as u64)
}

/// A tag that was written, or was to be.
struct Written<'a> {
    promotion: &'a Verified<'a>,
    manifest: &'a Manifest,
}

/// Why a tag was not written.
enum Cause {
    /// The registry could not be asked what the tag holds.
    Look(client::Error),
    /// The tag holds something else than when it was verified.
    Moved(String),
    /// The write failed; it may have been done all the same.
    Write(client::Error),
}

impl Written<'_> {
    async fn write(&self) -> Result<(), Cause> {
        let held = self.held().await.map_err(Cause::Look)?;
        let seen = self.promotion.previous.as_ref().map(|previous| previous.digest().clone());
        if held != seen {
            let name =
                |digest: Option<Digest>| digest.map_or("nothing".to_owned(), |d| d.to_string());
            return Err(Cause::Moved(format!(
                "somebody else moved the tag meanwhile: it held {}, now {}",
                name(seen),
                name(held)
            )));
        }
        let repository = &self.promotion.repository;
        repository.put_manifest(&self.tag(), self.manifest).await.map_err(Cause::Write)
    }

    /// Puts the tag back; None when it is as it was, else why it is not.
    async fn undo(&self) -> Result<Option<&'static str>, client::Error> {
        if self.held().await?.as_ref() != Some(self.manifest.digest()) {
            return Ok(Some("somebody else moved it meanwhile, left alone"));
        }
        let repository = &self.promotion.repository;
        match &self.promotion.previous {
            Some(previous) => {
                repository.put_manifest(&self.tag(), previous).await?;
                Ok(None)
            }
            // By tag only: deleting by digest would take every other tag of the image along.
            None => Ok(match repository.delete(&self.tag()).await? {
                Deleted::Done | Deleted::Absent => None,
                Deleted::Unsupported => Some("it is new, and this registry deletes no tags"),
            }),
        }
    }

    async fn held(&self) -> Result<Option<Digest>, client::Error> {
        let held = self.promotion.repository.head(&self.tag()).await?;
        Ok(held.map(|held| held.digest))
    }

    fn tag(&self) -> Reference {
        Reference::Tag(self.promotion.promotion.to.clone())
    }
}

/// Puts back what was written, and says so. A write that failed may have been done, so that tag is
/// looked at, too. With nothing written the cause alone is the error.
async fn broken(mut written: Vec<Written<'_>>, tag: Written<'_>, cause: Cause) -> Error {
    let item = tag.promotion.item();
    let mut left = Vec::new();
    let cause = match cause {
        Cause::Look(error) if written.is_empty() => return error.into(),
        Cause::Look(error) => error.to_string(),
        Cause::Moved(reason) => reason,
        Cause::Write(error) => {
            match tag.held().await {
                Ok(held) if held.as_ref() == Some(tag.manifest.digest()) => written.push(tag),
                Ok(_) if written.is_empty() => return error.into(),
                Ok(_) => {}
                Err(_) => left.push(format!("{item} (it may have been written, nobody answers)")),
            }
            error.to_string()
        }
    };
    for tag in written.iter().rev() {
        match tag.undo().await {
            Ok(None) => {}
            Ok(Some(reason)) => left.push(format!("{} ({reason})", tag.promotion.item())),
            Err(error) => left.push(format!("{} ({error})", tag.promotion.item())),
        }
    }
    let undone = match (written.len(), left.is_empty()) {
        (0, true) => "nothing had been written before".to_owned(),
        (count, true) => format!("what had been written was put back (tags: {count})"),
        (_, false) => format!("NOT put back: {}", left.join(", ")),
    };
    Error::Broken { item, cause, undone }
}
