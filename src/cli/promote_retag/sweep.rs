use std::path::PathBuf;

use clap::Args;

use super::delete_tag::Api;
use crate::cli::args::Network;
use crate::cli::exit::Failure;
use crate::cli::output::{Report, table};
use crate::oci::Digest;
use crate::registry::config::Period;
use crate::sweep::{
    Candidates, Decision, Failed, Options, Pattern, Sightings, Swept, SweptTag, sweep,
};
use crate::zuul::{ImageList, Word};

#[derive(Debug, Args)]
pub(super) struct Sweep {
    /// The `container_images` or `docker_images` list (YAML or JSON; `-` reads stdin)
    #[arg(long, value_name = "IMAGES")]
    images: PathBuf,

    /// Only tags that are at least so old, e.g. 24h or 7d
    #[arg(long, value_name = "TIME", default_value = "24h")]
    older_than: Period,

    /// Beside change_<digits>_<T>, <NAME>_<T> is a temporary tag, too, where T is a declared tag
    #[arg(long, value_name = "NAME")]
    pipeline: Vec<Word>,

    /// Any tag that this regular expression matches as a whole, but never a declared one
    #[arg(long = "match", value_name = "REGEX", conflicts_with = "pipeline")]
    pattern: Option<Pattern>,

    /// What earlier runs saw, for registries that do not say how old a tag is; made if it is not there
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// Delete; without it, it is only said what would be deleted
    #[arg(long)]
    confirm: bool,

    #[command(flatten)]
    api: Api,

    #[command(flatten)]
    network: Network,
}

impl Sweep {
    pub(super) async fn run(self) -> Result<Swept, Failure> {
        let images = ImageList::read(&self.images)?;
        if let Some(credentials) = self.network.registry_credentials()? {
            images.iter().try_for_each(|image| credentials.allow(image))?;
        }
        let mut seen = self.state.as_deref().map(Sightings::read).transpose()?;
        let options = Options {
            candidates: match self.pattern {
                Some(pattern) => Candidates::Matching(pattern),
                None => Candidates::Uploads { pipelines: self.pipeline },
            },
            older_than: self.older_than.0,
            confirm: self.confirm,
        };
        let client = self.network.client(&[])?;
        let hosts = images.iter().map(|image| image.host()).collect::<Result<Vec<_>, _>>()?;
        let remover = self.network.tag_remover(&client, hosts, self.api.api_url.as_ref()).await?;
        let mut swept = sweep(&client, &remover, &images, &options, seen.as_mut()).await?;
        // What was deleted is told all the same.
        if let Some(Err(error)) = seen.map(|seen| seen.write()) {
            let item = self.state.map(|path| path.display().to_string()).unwrap_or_default();
            swept.failures.push(Failed { item, message: error.to_string() });
        }
        Ok(swept)
    }
}

impl Report for Swept {
    fn text(&self) -> String {
        let rows: Vec<[String; 5]> = self.tags.iter().map(row).collect();
        let mut text = table(["TAG", "DIGEST", "AGE", "DECISION", "REASON"], &rows);
        for Failed { item, message } in &self.failures {
            text.push_str(&format!("{item}: {message}\n"));
        }
        let totals = &self.totals;
        let count = match self.confirm {
            true => format!("{} deleted", totals.deleted),
            false => format!("{} would be deleted with --confirm", totals.would_delete),
        };
        text.push_str(&format!(
            "{count}, {} failed, {} requests, {:.2} s\n",
            totals.failed + self.failures.len(),
            totals.requests,
            totals.seconds
        ));
        text
    }

    fn failure(&self) -> Option<Failure> {
        let tags = self.tags.iter().filter(|tag| tag.decision == Decision::Failed);
        let tags = tags.map(|tag| (format!("{}:{}", tag.repository, tag.tag), &tag.reason));
        let others = self.failures.iter().map(|failed| (failed.item.clone(), &failed.message));
        let failed: Vec<_> = tags.chain(others).collect();
        let (item, reason) = failed.first()?;
        let more = match failed.len() {
            1 => String::new(),
            count => format!("; {} more failed", count - 1),
        };
        Some(Failure::failed("partial", format!("{item}: {reason}{more}")).on(item))
    }
}

fn row(tag: &SweptTag) -> [String; 5] {
    let age = match (tag.age_seconds, tag.age_from) {
        (Some(seconds), Some(from)) => format!("{} ({from})", age(seconds)),
        _ => "unknown".to_owned(),
    };
    let decision = match tag.decision {
        Decision::Deleted => "deleted",
        Decision::WouldDelete => "would delete",
        Decision::Kept => "kept",
        Decision::Gone => "gone",
        Decision::Failed => "FAILED",
    };
    let digest = tag.digest.as_ref().map_or("unknown", Digest::short);
    [
        format!("{}:{}", tag.repository, tag.tag),
        digest.to_owned(),
        age,
        decision.to_owned(),
        tag.reason.clone(),
    ]
}

/// Two units at most, rounded down: `3d 4h`, `23h 59m`.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours) {
        (0, 0) => format!("{minutes}m"),
        (0, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_never_shown_older_than_it_is() {
        assert_eq!(age(59), "0m");
        assert_eq!(age(86_399), "23h 59m");
        assert_eq!(age(86_400 * 3 + 4 * 3600 + 3599), "3d 4h");
    }
}
