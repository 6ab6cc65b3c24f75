use std::convert::Infallible;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::image::{Pinned, pin};
use super::{Certifier, Error, Journal, Places, State};
use crate::client::{self, Repository};
use crate::oci::{Descriptor, ImageReference, Reference};

/// Blobs moved at once.
const PARALLEL: usize = 4;

/// Refuses what has been uploaded before, however it is called there.
pub(super) async fn guard(
    upload: &Repository,
    at: &ImageReference,
    pinned: &Pinned,
) -> Result<(), Error> {
    let failed = |error| Error::client(at, error);
    if let Some(held) = upload.head(&at.reference).await.map_err(failed)? {
        return Err(Error::Refused(format!(
            "{at} already exists with digest {}; rebuild numbers are never reused",
            held.digest
        )));
    }
    let all = pinned.images().chain([&pinned.top]).map(|manifest| manifest.digest());
    for digest in all {
        let there = upload.head(&Reference::Digest(digest.clone())).await.map_err(failed)?;
        if there.is_some() {
            return Err(Error::Refused(format!(
                "{}/{}@{digest} already exists; certify only images never uploaded before (go on with `resume`, or \
                 give it another identity by --freshen)",
                at.registry, at.repository
            )));
        }
    }
    Ok(())
}

/// Puts the image under its unique tag, which is written last and once.
pub(super) async fn unique(
    certifier: &Certifier<'_>,
    places: &Places,
    journal: &mut Journal,
) -> Result<(), Error> {
    let at = &places.uploaded;
    let failed = |error| Error::client(at, error);
    let held = places.upload.head(&places.unique()).await.map_err(failed)?;
    match held {
        Some(held) if held.digest == journal.digest => {}
        Some(held) => return Err(taken(at, journal, &held.digest)),
        None if journal.state > State::Pushing => {
            return Err(Error::Wrong(format!("{at} was pushed and is gone; somebody deleted it")));
        }
        None => push(certifier, places, journal).await?,
    }
    // Registries have no compare-and-swap: who was last is seen only afterwards.
    if journal.state == State::Pushing {
        for pause in [None, Some(certifier.limits.settle)] {
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            let held = places.upload.head(&places.unique()).await.map_err(failed)?;
            match held.map(|held| held.digest) {
                Some(held) if held == journal.digest => {}
                Some(held) => return Err(taken(at, journal, &held)),
                None => return Err(Error::Wrong(format!("{at} was written and is not there"))),
            }
        }
    }
    journal.reach(State::Pushed)
}

async fn push(certifier: &Certifier<'_>, places: &Places, journal: &Journal) -> Result<(), Error> {
    let source: ImageReference = journal
        .source
        .parse()
        .map_err(|error: crate::oci::Error| Error::Input(error.to_string()))?;
    let token = journal.unique()?;
    let token = journal.freshened.then_some(token.as_str());
    let pinned = pin(certifier.client, &source, &[], token).await?;
    if *pinned.top.digest() != journal.digest {
        let (found, expected) = (pinned.top.digest(), &journal.digest);
        return Err(Error::Wrong(format!("the source is {found} now, not {expected}")));
    }
    let from = certifier.client.image(&source);
    let failed = |error| Error::client(&places.uploaded, error);
    for image in pinned.images() {
        let blobs = image.blobs().map(|it| blob(&from, &places.upload, &pinned, it));
        let moved = stream::iter(blobs).buffer_unordered(PARALLEL).try_collect::<Vec<_>>().await;
        moved.map_err(failed)?;
    }
    for image in &pinned.children {
        let by_digest = Reference::Digest(image.digest().clone());
        places.upload.put_manifest(&by_digest, image).await.map_err(failed)?;
    }
    // Once more, as close to the write as can be.
    let held = places.upload.head(&places.unique()).await.map_err(failed)?;
    match held.map(|held| held.digest) {
        None => {
            let put = places.upload.put_manifest(&places.unique(), &pinned.top).await;
            put.map_err(failed)
        }
        Some(held) if held == journal.digest => Ok(()),
        Some(held) => Err(taken(&places.uploaded, journal, &held)),
    }
}

async fn blob(
    from: &Repository,
    to: &Repository,
    pinned: &Pinned,
    blob: &Descriptor,
) -> Result<(), client::Error> {
    if to.has_blob(blob).await? {
        return Ok(());
    }
    match pinned.configs.get(&blob.digest) {
        Some(config) => {
            let bytes = || stream::iter([Ok::<_, Infallible>(config.clone())]);
            to.push_blob(blob, bytes, None).await?;
        }
        None => {
            to.push_blob(blob, || from.blob(blob), None).await?;
        }
    }
    Ok(())
}

fn taken(at: &ImageReference, journal: &Journal, held: &crate::oci::Digest) -> Error {
    Error::Raced(format!(
        "pushed {} but {at} reads {held}: another publisher took {}; choose a new number",
        journal.digest, at.reference
    ))
}
