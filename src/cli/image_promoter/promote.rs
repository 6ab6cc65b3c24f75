use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use super::manifests::{Judged, Source};
use super::plan::{Outline, Rules, failure, write_failures};
use super::reach::Reach;
use crate::cli::args::Along;
use crate::cli::exit::Failure;
use crate::cli::output::Report;
use crate::cli::progress::Bars;
use crate::copy;
use crate::oci::Platform;
use crate::promoter::{self, Options, Promoted};

#[derive(Debug, Args)]
pub(super) struct Promote {
    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    rules: Rules,

    /// Write; without it, it is only said what would be done
    #[arg(long)]
    confirm: bool,

    /// Refuse images that lack one of these platforms
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    require_platforms: Vec<Platform>,

    #[command(flatten)]
    along: Along,

    /// Do not look whether images that are in place lack signatures and other referrers; that look takes one
    /// request for each of them
    #[arg(long)]
    no_repair: bool,

    #[command(flatten)]
    reach: Reach,
}

impl Promote {
    pub(super) async fn run(self, bars: &Bars) -> Result<Judged<Ran>, Failure> {
        if self.confirm && self.reach.file.is_some() {
            let reason = "what a file says may be old: --confirm asks the registries, leave --inventory away";
            return Err(Failure::input(reason));
        }
        if !self.require_platforms.is_empty() && self.reach.file.is_some() {
            let reason = "--require-platforms reads images, and --inventory asks no registry: leave one away";
            return Err(Failure::input(reason));
        }
        let (Outline { planned, failures, .. }, client) =
            match self.rules.outline(&self.source, &self.reach).await? {
                Judged::Fine(outline) => outline,
                Judged::Wrong(problems) => return Ok(Judged::Wrong(problems)),
            };
        let referrers = self.along.referrers();
        let options = Options {
            confirm: self.confirm,
            keep_going: self.rules.keep_going,
            repair: !self.no_repair && referrers != copy::Referrers::None,
            require_platforms: &self.require_platforms,
            copying: copy::Options {
                referrers,
                never_move: true,
                keep_signatures: true,
                ..self.reach.network().copying()
            },
            progress: bars,
        };
        let mut promoted = promoter::promote(&client, planned, failures, &options).await;
        let stopped = promoted.stopped.take().map(|error| match promoted.written {
            0 => Failure::from(error),
            written => Failure::from(error).after_writing(written),
        });
        Ok(Judged::Fine(Ran { promoted, stopped }))
    }
}

/// What was done, also where something ended it.
#[derive(Debug, Serialize)]
pub(super) struct Ran {
    #[serde(flatten)]
    promoted: Promoted,
    #[serde(skip)]
    stopped: Option<Failure>,
}

impl Report for Ran {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Promoted { dry_run, planned, failures, totals, .. } = &self.promoted;
        planned.write_text(out)?;
        write_failures(failures, out)?;
        let (written, referrers) = (self.promoted.written, self.promoted.referrers_written);
        match dry_run {
            true => writeln!(out, "nothing was written; do it with --confirm"),
            false => writeln!(
                out,
                "{written} written, {referrers} referrers with them; {} blobs moved, {} mounted; \
                 {} requests, {:.2} s",
                totals.blobs_moved, totals.blobs_mounted, totals.requests, totals.seconds
            ),
        }
    }

    fn failure(&self) -> Option<Failure> {
        if self.stopped.is_some() {
            return self.stopped.clone();
        }
        let Promoted { failures, planned, .. } = &self.promoted;
        match failures.is_empty() && !planned.is_clean() {
            true => Some(Failure::refused(planned.objection())),
            false => failure(failures),
        }
    }
}
