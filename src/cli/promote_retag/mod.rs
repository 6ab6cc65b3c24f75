//! The command line of `promote-retag`.

mod delete_tag;
mod promote;
mod promoted;
mod retag;
mod rollback;
mod signals;
mod sweep;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::delete_tag::DeleteTag;
use self::promote::Promote;
use self::retag::Retag;
use self::rollback::Rollback;
use self::sweep::Sweep;
use super::args::{Common, Network};
use super::exit::Failure;
use super::progress::Bars;
use crate::promote::Options;
use crate::zuul::RegistryCredentials;

/// Give uploaded images their final tags by writing manifests only, and remove temporary ones
///
/// Every image of the list is verified before the first tag is written; if a write fails, the tags
/// written before are put back, also on SIGTERM and SIGINT. No layer is moved, but
/// from the intermediate registry.
#[derive(Debug, Parser)]
#[command(name = "promote-retag", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  promote-retag promote --images images.yaml --change 1001 --credentials login.yaml
  promote-retag promote --images images.yaml --pipeline periodic --dry-run
  promote-retag promote --images images.yaml --change 1001 --uploads results.json --record 1001.jsonl
  promote-retag rollback --record 1001.jsonl --dry-run
  promote-retag promote --images images.yaml --change 1001 --method intermediate-registry \
    --zuul-api https://zuul.example.org/api/tenant/example --intermediate intermediate.yaml \
    --zuul-query 'change=1001&patchset=2&pipeline=gate&job_name=build-image'
  promote-retag retag quay.io/org/img:change_1001_latest latest stable --expect-current absent
  promote-retag delete-tag quay.io/org/img:change_1001_latest --credentials login.yaml

  Say which temporary tags were left for a day and more; then delete them:
    promote-retag sweep --images images.yaml --credentials login.yaml
    promote-retag sweep --images images.yaml --credentials login.yaml --confirm

Exit codes: 0 done, 1 failed, 2 wrong input, 3 refused by a safety rule (nothing was written).";

const SWEEP: &str = "\
A tag is a temporary one if it is change_<digits>_<T> or, with --pipeline, <NAME>_<T>, and T is a tag that the \
list declares for the same repository. A declared tag is never deleted.

How old a tag is say Docker Hub's and Quay's web APIs and our own registries. Of other registries it is known \
with --state: a tag that two runs saw with the same digest is as old as the time between them.

Examples:
  promote-retag sweep --images images.yaml --pipeline periodic --older-than 7d --credentials login.yaml
  promote-retag sweep --images images.yaml --state /var/lib/sweep/state.json --confirm

Exit codes: 0 done, 1 something failed (the rest is done), 2 wrong input, 3 refused by a safety rule.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Temporary tags of a whole image list to their final tags, all or nothing
    Promote(Promote),
    /// One image to further tags of its repository
    Retag(Retag),
    /// Take back what a record says was promoted
    Rollback(Rollback),
    /// Delete one tag; the image and its other tags stay
    DeleteTag(DeleteTag),
    /// List temporary tags that nobody promoted, and with --confirm delete them
    #[command(after_help = SWEEP)]
    Sweep(Sweep),
}

#[derive(Debug, Args)]
struct Rules {
    /// Verify everything and say what would be written, but write nothing
    #[arg(long)]
    dry_run: bool,

    /// Allow an index that lacks a platform of the one it replaces
    #[arg(long)]
    allow_lost_platforms: bool,

    /// Keep here what undoes the promotion; if it was not finished, the next run with the same file
    /// finishes it or puts it back
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { common, command } = Arguments::parse();
    match command {
        Command::Promote(arguments) => super::run(&common, async {
            let bars = Bars::new(common.quiet);
            arguments.run(&bars).await
        }),
        Command::Retag(arguments) => super::run(&common, arguments.run()),
        Command::Rollback(arguments) => super::run(&common, arguments.run()),
        Command::DeleteTag(arguments) => super::run(&common, arguments.run()),
        Command::Sweep(arguments) => super::run(&common, arguments.run()),
    }
}

impl Rules {
    fn options<'a>(
        &'a self,
        network: &Network,
        credentials: Option<&'a RegistryCredentials>,
    ) -> Result<Options<'a>, Failure> {
        Ok(Options {
            dry_run: self.dry_run,
            allow_lost_platforms: self.allow_lost_platforms,
            parallel: network.parallel.into(),
            record: self.record.as_deref(),
            credentials,
            interrupt: signals::interrupt()?,
            ..Options::default()
        })
    }
}
