use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::journal::Moved;
use super::push::pin_again;
use super::{Error, Journal, Pinned, Places, State};
use crate::client::Client;
use crate::oci::Reference;

/// Blobs asked for at once.
const PARALLEL: usize = 4;

/// What is left to write, in its order: blobs, images, tags, and the run of `preflight`. `pinned` is the image,
/// where it was just read.
///
/// # Errors
/// A registry that cannot be asked, and a unique tag that is another's.
pub async fn plan(
    client: &Client,
    journal: &Journal,
    pinned: Option<&Pinned>,
) -> Result<Vec<String>, Error> {
    let places = Places::new(client, journal)?;
    let at = &places.uploaded;
    let failed = |error| Error::client(at, error);
    let mut writes = Vec::new();
    match places.upload.head(&places.unique()).await.map_err(failed)?.map(|held| held.digest) {
        Some(held) if held == journal.digest => {}
        Some(held) => return Err(Error::Raced(format!("{at} is {held}, another publisher's"))),
        None => match pinned {
            Some(pinned) => writes.extend(push(&places, journal, pinned).await?),
            None => {
                writes.extend(push(&places, journal, &pin_again(client, journal).await?).await?)
            }
        },
    }
    if journal.state < State::Certified {
        writes.push(format!("preflight check container {at} --submit"));
    }
    let back = journal.state == State::RolledBack;
    for floating in journal.floating.iter().filter(|it| back || it.moved != Moved::Visible) {
        let reference = Reference::Tag(floating.tag.clone());
        let held = places.upload.head(&reference).await.map_err(failed)?;
        if held.map(|held| held.digest).as_ref() != Some(&journal.digest) {
            writes.push(format!("PUT {} {}", at.at(floating.tag.clone()), journal.digest));
        }
    }
    Ok(writes)
}

async fn push(places: &Places, journal: &Journal, pinned: &Pinned) -> Result<Vec<String>, Error> {
    let upload = &journal.upload;
    let mut blobs: Vec<_> = pinned.images().flat_map(|image| image.blobs()).collect();
    blobs.sort_by(|one, other| one.digest.cmp(&other.digest));
    blobs.dedup_by(|one, other| one.digest == other.digest);
    let missing = stream::iter(blobs).map(async |blob| {
        let there = places.upload.has_blob(blob).await;
        let write = format!("PUT {upload}@{} ({} bytes)", blob.digest, blob.size);
        there.map(|there| (!there).then_some(write))
    });
    let missing: Vec<Option<String>> = missing
        .buffered(PARALLEL)
        .try_collect()
        .await
        .map_err(|error| Error::client(&places.uploaded, error))?;
    let images = pinned.children.iter().map(|image| format!("PUT {upload}@{}", image.digest()));
    let unique = format!("PUT {} {}", places.uploaded, journal.digest);
    Ok(missing.into_iter().flatten().chain(images).chain([unique]).collect())
}
