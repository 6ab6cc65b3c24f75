use std::collections::BTreeSet;

use super::poll::Clock;
use super::{Certifier, Error, Journal, Member, Places, State};
use crate::webapi::{Pyxis, PyxisRequest};

/// What the catalog has of an image.
#[derive(Default)]
pub(super) struct Known {
    /// Architectures that passed.
    pub(super) certified: BTreeSet<String>,
    /// Architectures that anybody can pull.
    pub(super) published: BTreeSet<String>,
    /// Architectures that are being scanned.
    pub(super) scanning: BTreeSet<String>,
    /// The names of the images.
    pub(super) images: Vec<String>,
}

impl Known {
    /// Asks for every architecture, by the digest of its image.
    pub(super) async fn ask(pyxis: Option<&Pyxis>, journal: &Journal) -> Result<Self, Error> {
        let mut known = Self::default();
        let Some(pyxis) = pyxis else { return Ok(known) };
        for member in &journal.members {
            for image in pyxis.images(&journal.project, &member.digest).await? {
                for (is, set) in [
                    (image.certified, &mut known.certified),
                    (image.published, &mut known.published),
                    (image.scanning, &mut known.scanning),
                ] {
                    if is {
                        set.insert(member.architecture.clone());
                    }
                }
                known.images.push(image.id);
            }
        }
        Ok(known)
    }

    /// Architectures that nobody can pull yet, as far as the catalog knows.
    fn unpublished<'a>(&self, members: &'a [Member]) -> Vec<&'a str> {
        let all = members.iter().map(|member| member.architecture.as_str());
        all.filter(|architecture| !self.published.contains(*architecture)).collect()
    }
}

/// Refuses what the catalog has already.
pub(super) async fn guard(
    pyxis: Option<&Pyxis>,
    project: &str,
    members: &[Member],
) -> Result<(), Error> {
    let Some(pyxis) = pyxis else { return Ok(()) };
    for member in members {
        if let Some(image) = pyxis.images(project, &member.digest).await?.first() {
            let is = if image.published { "published" } else { "known" };
            return Err(Error::Refused(format!(
                "image {} already {is} in Pyxis as {}; give it another identity by --freshen",
                member.digest, image.id
            )));
        }
    }
    Ok(())
}

/// Waits for scans, which take longer than all that follows them. That something is not published while it is
/// scanned says nothing; a catalog that cannot be asked keeps nobody from looking at the registry.
pub(super) async fn wait_scanned(
    certifier: &Certifier<'_>,
    places: &Places,
    journal: &Journal,
) -> Result<(), Error> {
    let clock = Clock::start(certifier.limits.scan);
    loop {
        let known = match Known::ask(certifier.pyxis.as_ref(), journal).await {
            Ok(known) if known.scanning.is_empty() => return Ok(()),
            Ok(known) => known,
            Err(error) => {
                tracing::warn!("{error}; not waiting for the end of scans");
                return Ok(());
            }
        };
        let served = places.public.head(&places.unique()).await.ok().flatten();
        if served.is_some_and(|served| served.digest == journal.digest) {
            return Ok(());
        }
        let scanning = Vec::from_iter(known.scanning).join(", ");
        let answer = format!("{scanning} not scanned");
        if !clock.tick(certifier, journal.state, "the catalog's scan", &answer).await {
            return Err(Error::NotVisible(format!(
                "the catalog has not scanned {scanning} after {} s; floating tags were NOT moved; go on with `resume`",
                certifier.limits.scan.as_secs()
            )));
        }
    }
}

/// What the catalog says of an image that nobody can pull; empty where it says nothing.
pub(super) async fn explanation(certifier: &Certifier<'_>, journal: &Journal) -> String {
    let Some(pyxis) = &certifier.pyxis else { return String::new() };
    match Known::ask(Some(pyxis), journal).await {
        Err(error) => format!("; {error}"),
        Ok(known) => match known.unpublished(&journal.members).as_slice() {
            [] => "; the catalog has it published".to_owned(),
            lacking => format!("; the catalog has not published {}", lacking.join(", ")),
        },
    }
}

/// The end; what the catalog shows otherwise is only a warning.
pub(super) async fn report(
    certifier: &Certifier<'_>,
    journal: &mut Journal,
) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    match Known::ask(certifier.pyxis.as_ref(), journal).await {
        Err(error) => warnings.push(error.to_string()),
        Ok(_) if certifier.pyxis.is_none() => {}
        Ok(known) => {
            let lacking = known.unpublished(&journal.members).into_iter();
            warnings.extend(lacking.map(|architecture| {
                format!(
                    "the catalog does not show {architecture} as published, the registry serves it"
                )
            }));
            journal.know(known.images);
        }
    }
    if let Some(pyxis) = certifier.pyxis.as_ref().filter(|_| certifier.sync_tags) {
        warnings.extend(sync_tags(certifier, pyxis, journal).await);
    }
    journal.reach(State::Done)?;
    Ok(warnings)
}

/// Asks for every image, then waits for all of them.
async fn sync_tags(certifier: &Certifier<'_>, pyxis: &Pyxis, journal: &Journal) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut open = Vec::new();
    for image in &journal.images {
        match pyxis.sync_tags(&journal.project, image).await {
            Ok(request) => open.push((image, request)),
            Err(error) => warnings.push(error.to_string()),
        }
    }
    let clock = Clock::start(certifier.limits.visible);
    loop {
        let mut waiting = Vec::new();
        for (image, request) in open {
            match pyxis.tags_synced(image, &request).await {
                Ok(PyxisRequest::Completed) => {}
                Ok(PyxisRequest::Open) => waiting.push((image, request)),
                Ok(PyxisRequest::Failed) => {
                    warnings.push(format!("the catalog did not synchronise the tags of {image}"));
                }
                Err(error) => warnings.push(error.to_string()),
            }
        }
        if waiting.is_empty() {
            return warnings;
        }
        let answer = format!("{} requests are open", waiting.len());
        let what = "the catalog's tags";
        if !clock.tick(certifier, journal.state, what, &answer).await {
            let late = waiting.iter().map(|(image, _)| {
                let limit = certifier.limits.visible.as_secs();
                format!("the catalog has not synchronised the tags of {image} after {limit} s")
            });
            warnings.extend(late);
            return warnings;
        }
        open = waiting;
    }
}
