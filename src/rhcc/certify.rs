use super::catalog::Known;
use super::preflight::{Job, Outcome, Verdict};
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
    let known = Known::ask(certifier.pyxis.as_ref(), journal).await?;
    journal.know(known.images);
    if known.published.len() == journal.members.len() {
        return journal.reach(State::Certified);
    }
    let open = |member: &&Member| !known.certified.contains(&member.architecture);
    let open: Vec<Member> = journal.members.iter().filter(open).cloned().collect();
    let is_index = journal.members.iter().all(|member| member.digest != journal.digest);
    // One run does all; only what an earlier run left is done by itself.
    let runs: Vec<Option<&Member>> = match open.len() == journal.members.len() && is_index {
        true => vec![None],
        false => open.iter().map(Some).collect(),
    };
    for member in runs {
        run(certifier, places, journal, member).await?;
    }
    journal.reach(State::Certified)
}

/// Runs `preflight` for one architecture, or for all.
async fn run(
    certifier: &Certifier<'_>,
    places: &Places,
    journal: &mut Journal,
    member: Option<&Member>,
) -> Result<(), Error> {
    let results = tempfile::Builder::new().prefix("preflight-").tempdir_in(journal.folder());
    let results = results.map_err(|error| Error::io("make a folder for results", error))?.keep();
    journal.results = Some(results.clone());
    journal.save()?;
    let job = Job {
        image: &places.uploaded,
        login: &certifier.login,
        project: &journal.project,
        results: &results,
        platform: member.map(|member| member.architecture.as_str()),
        lock: journal.lock()?,
        talk: certifier.talk,
    };
    let outcome = certifier.preflight.run(job).await?;
    judge(&outcome, member.map_or(journal.members.as_slice(), std::slice::from_ref), journal)?;
    journal.know(outcome.images);
    Ok(())
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
