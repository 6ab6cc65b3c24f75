use std::collections::BTreeSet;

use super::preflight::{Outcome, Verdict};
use super::{Certifier, Error, Journal, Member, Places, State};

/// Has the image judged, unless it is certified already: `preflight` fails on what is published.
pub(super) async fn image(
    certifier: &Certifier<'_>,
    places: &Places,
    journal: &mut Journal,
) -> Result<(), Error> {
    if journal.state >= State::Certified {
        return Ok(());
    }
    let served = places.public.head(&places.unique()).await.ok().flatten();
    if served.is_some_and(|served| served.digest == journal.digest) {
        return journal.reach(State::Certified);
    }
    let known = known(certifier, journal).await?;
    journal.images = known.images;
    if known.published.len() == journal.members.len() {
        return journal.reach(State::Certified);
    }
    let certified = known.certified;
    let open = |member: &&Member| !certified.contains(&member.architecture);
    let open: Vec<Member> = journal.members.iter().filter(open).cloned().collect();
    let is_index = journal.members.iter().all(|member| member.digest != journal.digest);
    // One run does all; only what an earlier run left is done by itself.
    let runs: Vec<Option<&Member>> = match open.len() == journal.members.len() && is_index {
        true => vec![None],
        false => open.iter().map(Some).collect(),
    };
    for member in runs {
        let results = tempfile::Builder::new().prefix("preflight-").tempdir_in(journal.folder());
        let results =
            results.map_err(|error| Error::io("make a folder for results", error))?.keep();
        journal.results = Some(results.clone());
        journal.save()?;
        let platform = member.map(|member| member.architecture.as_str());
        let run = certifier.preflight.run(
            &places.uploaded,
            &certifier.login,
            &journal.project,
            &results,
            platform,
        );
        let outcome = run.await?;
        let judged = member.map_or(journal.members.as_slice(), std::slice::from_ref);
        judge(&outcome, judged, journal)?;
        journal.images.extend(outcome.images);
    }
    journal.reach(State::Certified)
}

/// The files decide: `preflight` exits 0 whatever its checks found, and submits what failed, too.
fn judge(outcome: &Outcome, members: &[Member], journal: &Journal) -> Result<(), Error> {
    for member in members {
        let architecture = &member.architecture;
        match outcome.verdicts.get(architecture) {
            Some(verdict) => fits(verdict, member, journal)?,
            None => {
                let reason = match &outcome.error {
                    Some(error) => format!("no results for {architecture}: {error}"),
                    None => format!("no results for {architecture}"),
                };
                return Err(Error::NotCertified(reason));
            }
        }
    }
    if let Some(error) = &outcome.error {
        return Err(Error::NotCertified(error.clone()));
    }
    match outcome.images.len() >= members.len() {
        true => Ok(()),
        false => Err(Error::NotCertified(format!(
            "it submitted {} images, not {}",
            outcome.images.len(),
            members.len()
        ))),
    }
}

fn fits(verdict: &Verdict, member: &Member, journal: &Journal) -> Result<(), Error> {
    let architecture = &member.architecture;
    if !verdict.passed {
        let checks = verdict.failed.join(", ");
        return Err(Error::NotCertified(format!("{architecture} FAILED: {checks}")));
    }
    let is_single = member.digest == journal.digest;
    let found = [(&verdict.child, &member.digest), (&verdict.index, &journal.digest)];
    for (found, expected) in found.into_iter().take(if is_single { 1 } else { 2 }) {
        if found.as_deref() != Some(expected.as_str()) {
            let found = found.as_deref().unwrap_or("nothing");
            return Err(Error::NotCertified(format!(
                "certified {found} for {architecture}, expected {expected}: the tag was taken by another publisher"
            )));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Known {
    certified: BTreeSet<String>,
    published: BTreeSet<String>,
    images: Vec<String>,
}

/// What the catalog has of it.
async fn known(certifier: &Certifier<'_>, journal: &Journal) -> Result<Known, Error> {
    let mut known = Known::default();
    let Some(pyxis) = &certifier.pyxis else { return Ok(known) };
    for member in &journal.members {
        for image in pyxis.images(&journal.project, &member.digest).await? {
            if image.certified {
                known.certified.insert(member.architecture.clone());
            }
            if image.published {
                known.published.insert(member.architecture.clone());
            }
            known.images.push(image.id);
        }
    }
    Ok(known)
}

/// Refuses what the catalog has already.
pub(super) async fn guard(
    pyxis: Option<&crate::webapi::Pyxis>,
    project: &str,
    members: &[Member],
) -> Result<(), Error> {
    let Some(pyxis) = pyxis else { return Ok(()) };
    for member in members {
        if let Some(image) = pyxis.images(project, &member.digest).await?.first() {
            return Err(Error::Refused(format!(
                "image {} already published in Pyxis as {}; give it another identity by --freshen",
                member.digest, image.id
            )));
        }
    }
    Ok(())
}

/// The end; what the catalog shows otherwise is only a warning.
pub(super) async fn report(
    certifier: &Certifier<'_>,
    journal: &mut Journal,
) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    if let Some(pyxis) = &certifier.pyxis {
        for member in &journal.members {
            let architecture = &member.architecture;
            match pyxis.images(&journal.project, &member.digest).await {
                Err(error) => warnings.push(error.to_string()),
                Ok(images) if images.iter().any(|image| image.published) => {}
                Ok(_) => warnings.push(format!(
                    "the catalog does not show {architecture} as published, the registry serves it"
                )),
            }
        }
        if certifier.sync_tags {
            for image in &journal.images {
                let asked = pyxis.sync_tags(&journal.project, image).await;
                warnings.extend(asked.err().map(|error| error.to_string()));
            }
        }
    }
    journal.reach(State::Done)?;
    Ok(warnings)
}
