use super::judge::{Decision, Planned};
use super::outcome::{State, TargetOutcome};
use crate::client::{self, Client, Repository, Sight, TagMove};
use crate::oci::{Manifest, Reference, Tag};

/// Writes one tag, whose images are in place.
pub(super) async fn target(
    client: &Client,
    planned: Planned,
    force: bool,
    dry_run: bool,
) -> TargetOutcome {
    let Planned { to, seen, decision, kept, dropped } = planned;
    let previous = seen.held().cloned();
    let (manifest, is_written) = match decision {
        Decision::Refused { missing, reason } => {
            return TargetOutcome::refused(&to, previous, missing, reason);
        }
        Decision::Equal(manifest) => (manifest, force),
        Decision::Write(manifest) => (manifest, true),
    };
    let mut outcome = TargetOutcome::of(&to, previous, &manifest);
    (outcome.kept, outcome.dropped) = (kept, dropped);
    let Reference::Tag(tag) = &to.reference else { return outcome };
    if is_written && dry_run {
        outcome.state = State::ToPublish;
    } else if is_written {
        let repository = client.image(&to).writable();
        match write(&repository, tag, &seen, &manifest).await {
            Ok(None) => outcome.state = State::Published,
            Ok(Some(reason)) => outcome.fail(reason),
            Err(error) => outcome.fail(error.to_string()),
        }
    }
    outcome
}

/// Why it was not written, if somebody else was faster.
async fn write(
    repository: &Repository,
    tag: &Tag,
    seen: &Sight,
    manifest: &Manifest,
) -> Result<Option<String>, client::Error> {
    if seen.held() == Some(manifest.digest()) {
        repository.put_manifest(&Reference::Tag(tag.clone()), manifest).await?;
        return Ok(None);
    }
    Ok(match repository.move_tag(tag, seen, manifest).await? {
        TagMove::Done | TagMove::There => None,
        TagMove::Meanwhile(held) => {
            let held = held.map_or("nothing".to_owned(), |held| held.to_string());
            Some(format!("somebody else moved the tag meanwhile, it now holds {held}; run again"))
        }
        TagMove::Barred(error) => return Err(error),
    })
}
