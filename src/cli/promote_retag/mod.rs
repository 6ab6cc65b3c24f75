//! The command line of `promote-retag`.

mod promote;
mod promoted;
mod retag;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::promote::Promote;
use self::retag::Retag;
use super::args::Common;
use crate::promote::Options;

/// Give uploaded images their final tags by writing manifests only
///
/// Every image of the list is verified before the first tag is written; if a write fails, the tags
/// written before are put back. No layer is moved.
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
  promote-retag retag quay.io/org/img:change_1001_latest latest stable --expect-current absent

Exit codes: 0 done, 1 failed, 2 wrong input, 3 refused by a safety rule (nothing was written).";

#[derive(Debug, Subcommand)]
enum Command {
    /// Temporary tags of a whole image list to their final tags, all or nothing
    Promote(Promote),
    /// One image to further tags of its repository
    Retag(Retag),
}

#[derive(Debug, Args)]
struct Rules {
    /// Verify everything and say what would be written, but write nothing
    #[arg(long)]
    dry_run: bool,

    /// Allow an index that lacks a platform of the one it replaces
    #[arg(long)]
    allow_lost_platforms: bool,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { common, command } = Arguments::parse();
    super::run(&common, async {
        match command {
            Command::Promote(arguments) => arguments.run().await,
            Command::Retag(arguments) => arguments.run().await,
        }
    })
}

impl Rules {
    fn options(&self) -> Options {
        Options {
            dry_run: self.dry_run,
            allow_lost_platforms: self.allow_lost_platforms,
            keep_temporary_tags: false,
        }
    }
}
