//! The command line of `image-promoter`.

mod audit;
mod check;
mod grow;
mod manifests;
mod plan;
mod promote;
mod reach;
mod snapshot;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::audit::Audit;
use self::check::Check;
use self::grow::Grow;
use self::plan::Plan;
use self::promote::Promote;
use self::snapshot::Snapshot;
use super::args::Common;
use super::progress::Bars;

/// Promote reviewed images from one registry to others, as YAML manifests say
///
/// A manifest names one source registry, any number of destinations, and for each image the digests
/// that belong there with their tags. Nothing is deleted and no tag is moved.
#[derive(Debug, Parser)]
#[command(name = "image-promoter", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  image-promoter check --thin-manifest-dir registry.example.org
  image-promoter check --manifest promote.yaml --edges
  image-promoter plan --thin-manifest-dir registry.example.org --inventory inventory.json
  image-promoter plan --thin-manifest-dir registry.example.org --since HEAD^ --inventory inventory.json
  image-promoter promote --thin-manifest-dir registry.example.org --since HEAD^ --confirm
  image-promoter promote --thin-manifest-dir registry.example.org --shard 1/4 --keep-going --confirm \
    --identity 'robot@prod.example.org=gcloud auth print-access-token'
  image-promoter snapshot staging.example.org/team --inventory inventory.json --format csv
  image-promoter snapshot --of-manifests prod.example.org/team --thin-manifest-dir registry.example.org
  image-promoter grow --thin-manifest-dir registry.example.org --registry staging.example.org/team \
    --inventory inventory.json --tag v1.2.3 --confirm
  image-promoter audit --thin-manifest-dir registry.example.org
  image-promoter audit --thin-manifest-dir registry.example.org --listen 127.0.0.1:8080

Exit codes: 0 done or nothing to do, 1 failed or problems found, 2 wrong arguments or unreadable files,
3 refused by a safety rule (nothing was written).";

#[derive(Debug, Subcommand)]
enum Command {
    /// Read manifests and say all that is wrong with them; needs no network
    Check(Check),
    /// Compare what is to be with what is, and say what would be done
    Plan(Plan),
    /// Bring what is missing where it belongs, with --confirm
    Promote(Promote),
    /// List what is in a registry, or what manifests say of it, as a thin manifest's images or as CSV
    Snapshot(Snapshot),
    /// Add what a staging registry has to the thin manifest that promotes from it
    Grow(Grow),
    /// Say what registries hold beside or against what manifests say; or judge each change that they tell
    Audit(Audit),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { common, command } = Arguments::parse();
    match command {
        Command::Check(arguments) => arguments.main(&common),
        Command::Plan(arguments) => super::run(&common, arguments.run()),
        Command::Promote(arguments) => super::run(&common, async {
            let bars = Bars::new(common.quiet);
            arguments.run(&bars).await
        }),
        Command::Snapshot(arguments) => arguments.main(&common),
        Command::Audit(arguments) => arguments.main(&common),
        Command::Grow(arguments) => super::run(&common, arguments.run()),
    }
}
