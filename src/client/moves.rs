use std::time::{Duration, Instant};

use super::access::Effort;
use super::manifests::pause_before_write;
use super::{Error, Repository};
use crate::oci::{Digest, Manifest, Reference, Tag};

/// What a tag was seen to hold, and when.
#[derive(Debug, Clone)]
pub struct Sight {
    held: Option<Digest>,
    at: Instant,
}

/// What became of a tag that was to be moved.
#[derive(Debug)]
pub enum TagMove {
    /// It was moved.
    Done,
    /// Somebody else had moved it there before.
    There,
    /// Somebody else moved it to something else, which is left alone.
    Meanwhile(Option<Digest>),
    /// It is not moved, and nothing was sent that could: the login is missing, or refused.
    Barred(Error),
}

impl Sight {
    /// How long a look counts as made just before a write. Whoever moves a tag within this time is not
    /// noticed, as nobody is who does so between a look and the write behind it.
    pub const GOOD_FOR: Duration = Duration::from_secs(2);

    /// What a tag was found to hold by a request sent `at` that time.
    #[must_use]
    pub fn new(held: Option<Digest>, at: Instant) -> Self {
        Self { held, at }
    }

    /// What it held; none if it did not exist.
    #[must_use]
    pub fn held(&self) -> Option<&Digest> {
        self.held.as_ref()
    }
}

impl Repository {
    /// Moves a tag to `manifest` while it holds what it was `seen` to hold. Registries have no
    /// compare-and-swap: the tag is looked at before every write, also before one that is tried again,
    /// unless it was seen just now. The look behind a write whose answer was lost settles whether it
    /// was taken.
    ///
    /// # Errors
    /// A registry that cannot be asked, and any answer to the write but success. It may have been
    /// taken all the same.
    pub async fn move_tag(
        &self,
        tag: &Tag,
        seen: &Sight,
        manifest: &Manifest,
    ) -> Result<TagMove, Error> {
        let reference = Reference::Tag(tag.clone());
        let writable = self.clone().writable();
        let doing = format!("writing the manifest {}", self.shown(&reference));
        let purpose = writable.purpose(&doing, writable.scopes());
        let mut retries = self.http().retries();
        let mut fresh = seen.at.elapsed() <= Sight::GOOD_FOR;
        let mut tried = false;
        loop {
            if !fresh {
                let held = writable.head(&reference).await?.map(|held| held.digest);
                if held.as_ref() == Some(manifest.digest()) {
                    return Ok(if tried { TagMove::Done } else { TagMove::There });
                }
                if held != seen.held {
                    return Ok(TagMove::Meanwhile(held));
                }
            }
            let is_there = async || {
                let held = writable.head_with(&reference, Effort::Once).await;
                matches!(held, Ok(Some(held)) if held.digest == *manifest.digest())
            };
            let failed = match writable.put_once(purpose, &reference, manifest).await {
                Ok(()) => return Ok(TagMove::Done),
                Err(Error::Http { source, .. }) => source,
                Err(error @ Error::Login { .. }) if !tried => return Ok(TagMove::Barred(error)),
                Err(Error::Damaged { .. }) if is_there().await => return Ok(TagMove::Done),
                Err(error) => return Err(error),
            };
            (fresh, tried) = (false, true);
            let may_be_done = failed.may_be_done();
            if let Err(error) = pause_before_write(purpose, &mut retries, failed).await {
                return match may_be_done && is_there().await {
                    true => Ok(TagMove::Done),
                    false => Err(error),
                };
            }
        }
    }
}
