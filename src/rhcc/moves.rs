use std::time::Instant;

use serde::Serialize;

use super::journal::{Moved, Previous};
use super::number::Numbers;
use super::poll::{Seen, until_served};
use super::{Certifier, Error, Journal, Places, State, catalog};
use crate::client::{Client, Sight, TagMove};
use crate::oci::{Digest, Manifest, Reference, Tag};

/// What became of the floating tags.
#[derive(Debug, Serialize)]
pub struct RolledBack {
    /// One entry for each of them.
    pub rolled_back: Vec<RolledBackTag>,
}

/// What became of one.
#[derive(Debug, Serialize)]
pub struct RolledBackTag {
    /// `HOST/REPO:TAG`.
    pub image: String,
    /// What it holds again.
    pub previous: Option<Digest>,
    /// Whether it was written.
    pub changed: bool,
    /// Why it stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Waits until customers can pull the unique tag. Nothing else is moved before.
pub(super) async fn wait_unique(
    certifier: &Certifier<'_>,
    places: &Places,
    journal: &mut Journal,
) -> Result<(), Error> {
    catalog::wait_scanned(certifier, places, journal).await?;
    let (at, unique) = (&places.published, places.unique());
    let wanted = (&journal.digest, None);
    match until_served(certifier, journal.state, &places.public, &unique, wanted).await {
        Seen::Served => journal.reach(State::Visible),
        Seen::Other(found) => {
            Err(Error::Wrong(format!("{at} serves {found}, expected {}", journal.digest)))
        }
        Seen::Timeout { answer, .. } => Err(Error::NotVisible(format!(
            "{at} not pullable after {} s (last answer: {answer}{}); floating tags were NOT moved; go on with `resume`",
            certifier.limits.visible.as_secs(),
            catalog::explanation(certifier, journal).await
        ))),
    }
}

/// Moves the floating tags, each when the one before is served.
pub(super) async fn all(
    certifier: &Certifier<'_>,
    places: &Places,
    journal: &mut Journal,
) -> Result<(), Error> {
    if journal.floating.iter().any(|it| it.moved != Moved::Visible) {
        let later = later(places, journal).await?;
        for number in 0..journal.floating.len() {
            let floating = journal.floating.get(number);
            if floating.is_some_and(|it| it.moved != Moved::Visible) {
                one(certifier, places, journal, number, &later).await?;
            }
        }
    }
    journal.reach(State::Moved)
}

/// What later rebuilds of the same base are: a tag that holds one of them is not moved back.
async fn later(places: &Places, journal: &Journal) -> Result<Vec<(Tag, Digest)>, Error> {
    let failed = |error| Error::client(&places.uploaded, error);
    let tags = places.upload.tags().await.map_err(failed)?;
    let mut later = Vec::new();
    for tag in Numbers::of(&journal.base()?, &tags).later(journal.number) {
        let held = places.upload.head(&Reference::Tag(tag.clone())).await.map_err(failed)?;
        later.extend(held.map(|held| (tag, held.digest)));
    }
    Ok(later)
}

async fn one(
    certifier: &Certifier<'_>,
    places: &Places,
    journal: &mut Journal,
    number: usize,
    later: &[(Tag, Digest)],
) -> Result<(), Error> {
    let failed = |error| Error::client(&places.uploaded, error);
    // The gate of every move: what is put under the tag is pullable now.
    let served = places.public.head(&places.unique()).await;
    let served = served.map_err(|error| Error::client(&places.published, error))?;
    if served.map(|served| served.digest).as_ref() != Some(&journal.digest) {
        let at = &places.published;
        return Err(Error::NotVisible(format!(
            "{at} is not served any more; no further tag was moved"
        )));
    }
    remember(places, journal, number, later).await?;
    let digest = journal.digest.clone();
    let bytes = places.upload.manifest(&Reference::Digest(digest.clone())).await.map_err(failed)?;
    let bytes = bytes.ok_or_else(|| Error::Wrong(format!("{} is gone", places.uploaded)))?;
    let Some(floating) = journal.floating.get(number) else { return Ok(()) };
    let at = places.uploaded.at(floating.tag.clone());
    let seen = floating.previous.as_ref().map(|previous| previous.digest.clone());
    // Not seen now, so it is looked at before the write.
    match move_tag(places, &floating.tag, seen, &bytes).await.map_err(failed)? {
        TagMove::Done | TagMove::There => {}
        TagMove::Meanwhile(held) => {
            let held = held.map_or("nothing".to_owned(), |held| held.to_string());
            return Err(Error::Raced(format!("{at} was changed by someone else ({held})")));
        }
        TagMove::Barred(error) => return Err(failed(error)),
    }
    wait(certifier, places, journal, number).await
}

/// Writes down what the tag holds before it is moved.
async fn remember(
    places: &Places,
    journal: &mut Journal,
    number: usize,
    later: &[(Tag, Digest)],
) -> Result<(), Error> {
    let digest = journal.digest.clone();
    let Some(floating) = journal.floating.get_mut(number).filter(|it| it.moved == Moved::No) else {
        return Ok(());
    };
    let reference = Reference::Tag(floating.tag.clone());
    let held = places.upload.manifest(&reference).await;
    let held = held.map_err(|error| Error::client(&places.uploaded, error))?;
    let is_later = |held: &Manifest| later.iter().find(|(_, digest)| digest == held.digest());
    if let Some((rebuild, _)) = held.as_ref().and_then(is_later) {
        let at = places.uploaded.at(floating.tag.clone());
        return Err(Error::Raced(format!("{at} holds a later rebuild, {rebuild}; it stays there")));
    }
    // A tag that is moved already has no bytes before it that are known here.
    floating.previous = held.filter(|held| *held.digest() != digest).map(|it| Previous::new(&it));
    let public = places.public.head(&reference).await;
    let public = public.map_err(|error| Error::client(&places.published, error))?;
    floating.previous_public = public.map(|public| public.digest).filter(|it| *it != digest);
    floating.moved = Moved::Moving;
    journal.save()
}

async fn wait(
    certifier: &Certifier<'_>,
    places: &Places,
    journal: &mut Journal,
    number: usize,
) -> Result<(), Error> {
    let Some(floating) = journal.floating.get(number) else { return Ok(()) };
    let at = places.published.at(floating.tag.clone());
    let reference = Reference::Tag(floating.tag.clone());
    let previous = floating.previous_public.clone();
    let wanted = (&journal.digest, previous.as_ref());
    match until_served(certifier, journal.state, &places.public, &reference, wanted).await {
        Seen::Served => {
            if let Some(floating) = journal.floating.get_mut(number) {
                floating.moved = Moved::Visible;
            }
            journal.save()
        }
        Seen::Other(found) => {
            let previous = previous.map_or("nothing".to_owned(), |it| it.to_string());
            let new = &journal.digest;
            Err(Error::Wrong(format!(
                "{at} serves {found}, neither previous {previous} nor new {new}"
            )))
        }
        Seen::Timeout { answer, absent } => {
            let limit = certifier.limits.visible.as_secs();
            let mut reason = match absent {
                true => format!("customers cannot pull {at}, after {limit} s"),
                false => {
                    format!("{at} is not the new image after {limit} s (last answer: {answer})")
                }
            };
            if absent && certifier.rollback_on_timeout {
                let done = rollback(certifier.client, journal, false).await?;
                let back: Vec<String> = done
                    .rolled_back
                    .iter()
                    .filter(|it| it.changed)
                    .map(|it| it.image.clone())
                    .collect();
                reason += &format!("; put back: {}", back.join(", "));
            }
            Err(Error::NotVisible(reason))
        }
    }
}

/// Gives the floating tags back what they held, the last one first, as far as they hold what was certified.
///
/// # Errors
/// A registry that cannot be asked or written.
pub async fn rollback(
    client: &Client,
    journal: &mut Journal,
    dry_run: bool,
) -> Result<RolledBack, Error> {
    let places = Places::new(client, journal)?;
    let mut rolled_back = Vec::new();
    for floating in journal.floating.iter_mut().rev().filter(|it| it.moved != Moved::No) {
        let at = places.uploaded.at(floating.tag.clone());
        let failed = |error| Error::client(&at, error);
        let held = places.upload.head(&at.reference).await.map_err(failed)?;
        let held = held.map(|held| held.digest);
        let previous = floating.previous.as_ref();
        let mut tag = RolledBackTag {
            image: at.to_string(),
            previous: previous.map(|previous| previous.digest.clone()),
            changed: false,
            reason: None,
        };
        match previous {
            None => tag.reason = Some("it was new, or moved before this certification".to_owned()),
            Some(previous) if held.as_ref() == Some(&previous.digest) => {}
            Some(_) if held.as_ref() != Some(&journal.digest) => {
                tag.reason = Some("somebody else moved it since".to_owned());
            }
            Some(previous) => {
                tag.changed = true;
                if !dry_run {
                    let manifest = previous.manifest()?;
                    let seen = Some(journal.digest.clone());
                    let done = move_tag(&places, &floating.tag, seen, &manifest).await;
                    match done.map_err(failed)? {
                        TagMove::Done | TagMove::There => {}
                        TagMove::Meanwhile(_) => {
                            tag.changed = false;
                            tag.reason = Some("somebody else moved it meanwhile".to_owned());
                        }
                        TagMove::Barred(error) => return Err(failed(error)),
                    }
                }
            }
        }
        rolled_back.push(tag);
    }
    if !dry_run && rolled_back.iter().any(|tag| tag.changed) {
        journal.state = State::RolledBack;
        journal.save()?;
    }
    Ok(RolledBack { rolled_back })
}

async fn move_tag(
    places: &Places,
    tag: &Tag,
    seen: Option<Digest>,
    manifest: &Manifest,
) -> Result<TagMove, crate::client::Error> {
    places.upload.move_tag(tag, &long_ago(seen), manifest).await
}

/// What is looked at again before the write.
pub(super) fn long_ago(held: Option<Digest>) -> Sight {
    let long_ago = Instant::now().checked_sub(2 * Sight::GOOD_FOR);
    Sight::new(held, long_ago.unwrap_or_else(Instant::now))
}
