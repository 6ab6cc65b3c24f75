use std::path::PathBuf;

use clap::Args;

use crate::cli::args::Network;
use crate::cli::exit::Failure;
use crate::cli::output::{Report, table};
use crate::oci::Digest;
use crate::promote::{self, Options, PutBack, RolledBack, RolledBackTag};

#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// The record that the promotion kept
    #[arg(long, value_name = "FILE")]
    record: PathBuf,

    /// Say what would be put back, but write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    network: Network,
}

impl Rollback {
    pub(super) async fn run(self) -> Result<RolledBack, Failure> {
        let credentials = self.network.registry_credentials()?;
        let options = Options {
            dry_run: self.dry_run,
            parallel: self.network.parallel.into(),
            credentials: credentials.as_ref(),
            ..Options::default()
        };
        let client = self.network.client(&[])?;
        Ok(promote::rollback(&client, &self.record, &options).await?)
    }
}

impl Report for RolledBack {
    fn text(&self) -> String {
        if self.rolled_back.is_empty() {
            return "the record holds no tag that was written\n".to_owned();
        }
        let rows: Vec<[String; 3]> = self.rolled_back.iter().map(row(self.dry_run)).collect();
        let mut text = table(["TAG", "TO", "STATE"], &rows);
        let totals = &self.totals;
        text.push_str(&format!("{} requests, {:.2} s\n", totals.requests, totals.seconds));
        text
    }

    fn failure(&self) -> Option<Failure> {
        let kept = self.rolled_back.iter().filter_map(|tag| {
            let why = reason(&tag.result)?;
            Some(format!("{}:{} ({why})", tag.repository, tag.tag))
        });
        let kept: Vec<String> = kept.collect();
        let message = || format!("not put back: {}", kept.join(", "));
        (!kept.is_empty()).then(|| Failure::failed("undone", message()))
    }
}

fn row(dry_run: bool) -> impl Fn(&RolledBackTag) -> [String; 3] {
    move |tag| {
        let state = match (&tag.result, dry_run) {
            (PutBack::Done, false) => "put back".to_owned(),
            (PutBack::Done, true) => "would be put back".to_owned(),
            (PutBack::Already, _) => "back already".to_owned(),
            (kept, _) => reason(kept).unwrap_or_default().to_owned(),
        };
        let previous = tag.previous.as_ref().map_or("nothing", Digest::short);
        [format!("{}:{}", tag.repository, tag.tag), previous.to_owned(), state]
    }
}

/// Why a tag stays as it is.
fn reason(result: &PutBack) -> Option<&str> {
    match result {
        PutBack::Done | PutBack::Already => None,
        PutBack::Moved => Some("somebody else moved it since"),
        PutBack::Unsupported => Some("it was new, and the registry deletes no tags"),
        PutBack::Incomplete(reason) | PutBack::Failed(reason) => Some(reason),
    }
}
