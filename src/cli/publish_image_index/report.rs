use crate::cli::exit::Failure;
use crate::cli::output::{Report, table};
use crate::index::{Published, State, TargetOutcome};
use crate::oci::Digest;

impl Report for Published {
    fn text(&self) -> String {
        let members: Vec<[String; 3]> = self
            .members
            .iter()
            .map(|it| [it.from.clone(), it.platform.to_string(), it.digest.short().to_owned()])
            .collect();
        let mut text = table(["IMAGE", "PLATFORM", "DIGEST"], &members);
        let rows: Vec<[String; 4]> = self.targets.iter().map(row).collect();
        text += &table(["TAG", "STATE", "DIGEST", "BEFORE"], &rows);
        for tag in &self.architecture_tags {
            let state = match (tag.changed, self.dry_run) {
                (true, false) => "written",
                (true, true) => "to be written",
                (false, _) => "already there",
            };
            text += &format!("{} {} {state}\n", tag.image, tag.digest.short());
        }
        for write in &self.writes {
            text += &format!("  {write}\n");
        }
        let totals = &self.totals;
        text + &format!(
            "{} blobs moved, {} manifests written, {} requests, {:.2} s\n",
            totals.blobs_moved, totals.manifests_written, totals.requests, totals.seconds
        )
    }

    fn failure(&self) -> Option<Failure> {
        let named = |state: State| {
            let targets = self.targets.iter().filter(move |it| it.state == state);
            let named: Vec<String> = targets
                .map(|it| {
                    let reason = it.reason.as_deref().unwrap_or_default();
                    format!("{}:{}: {reason}", it.repository, it.tag)
                })
                .collect();
            (!named.is_empty()).then(|| named.join("\n"))
        };
        if let Some(failed) = named(State::Failed) {
            return Some(Failure::failed("partial", failed));
        }
        named(State::Refused).map(|refused| Failure::refused(format!("refused: {refused}")))
    }
}

fn row(target: &TargetOutcome) -> [String; 4] {
    let state = match target.state {
        State::Published => "written",
        State::ToPublish => "to be written",
        State::Unchanged => "already there",
        State::Refused => "REFUSED",
        State::Failed => "FAILED",
    };
    let short =
        |digest: &Option<Digest>| digest.as_ref().map_or("nothing", Digest::short).to_owned();
    [
        format!("{}:{}", target.repository, target.tag),
        state.to_owned(),
        short(&target.digest),
        short(&target.previous),
    ]
}
