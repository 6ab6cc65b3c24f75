use std::convert::Infallible;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::image::{Made, Pinned, pin};
use super::moves::long_ago;
use super::{Certifier, Error, Journal, Places, State};
use crate::client::{self, Client, Repository, TagMove};
use crate::oci::{Descriptor, Digest, ImageReference, Reference};

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

/// Whether the unique tag holds this very image, whoever put it there.
pub(super) async fn adopt(
    upload: &Repository,
    at: &ImageReference,
    pinned: &Pinned,
) -> Result<(), Error> {
    let held = upload.head(&at.reference).await.map_err(|error| Error::client(at, error))?;
    match held.map(|held| held.digest) {
        Some(held) if held == *pinned.top.digest() => Ok(()),
        Some(held) => Err(Error::Refused(format!(
            "{at} holds {held} and not this image, {}; rebuild numbers are never reused",
            pinned.top.digest()
        ))),
        None => Err(Error::Refused(format!("{at} is not there, so there is nothing to adopt"))),
    }
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
        Some(held) => return Err(taken(at, journal, Some(&held.digest))),
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
                Some(held) => return Err(taken(at, journal, Some(&held))),
                None => return Err(Error::Wrong(format!("{at} was written and is not there"))),
            }
        }
    }
    journal.reach(State::Pushed)
}

async fn push(certifier: &Certifier<'_>, places: &Places, journal: &Journal) -> Result<(), Error> {
    let pinned = pin_again(certifier.client, journal).await?;
    let from = certifier.client.image(&pinned.source);
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
    // Looked at as close to every write as can be, also to one that is tried again.
    let nothing = long_ago(None);
    match places.upload.move_tag(&places.unique, &nothing, &pinned.top).await.map_err(failed)? {
        TagMove::Done | TagMove::There => Ok(()),
        TagMove::Meanwhile(held) => Err(taken(&places.uploaded, journal, held.as_ref())),
        TagMove::Barred(error) => Err(failed(error)),
    }
}

/// What the journal is about, read by its digest.
pub(super) async fn pin_again(client: &Client, journal: &Journal) -> Result<Pinned, Error> {
    let source: ImageReference = journal
        .source
        .parse()
        .map_err(|error: crate::oci::Error| Error::Input(error.to_string()))?;
    let token = journal.unique()?;
    let made = Made {
        drop_attestations: journal.attestations_dropped,
        token: journal.freshened.then_some(token.as_str()),
    };
    let pinned = pin(client, &source, &[], &made).await?;
    match *pinned.top.digest() == journal.digest {
        true => Ok(pinned),
        false => {
            let (found, expected) = (pinned.top.digest(), &journal.digest);
            Err(Error::Wrong(format!("the source is {found} now, not {expected}")))
        }
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

fn taken(at: &ImageReference, journal: &Journal, held: Option<&Digest>) -> Error {
    let held = held.map_or("nothing", Digest::as_str);
    Error::Raced(format!(
        "pushed {} but {at} reads {held}: another publisher took {}; choose a new number",
        journal.digest, at.reference
    ))
}
