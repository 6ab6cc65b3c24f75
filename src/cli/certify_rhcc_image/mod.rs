//! The command line of `certify-rhcc-image`.

mod config;
mod report;
mod setup;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::report::{Certified, Number, Planned, Resumed};
use self::setup::{Setup, Site};
use self::wait::Wait;
use super::args::{Common, Network};
use super::exit::Failure;
use super::output::Report;
use crate::index::Architecture;
use crate::oci::{ImageReference, Tag};
use crate::rhcc::{self, Journal, Made, Pinned, pin, plan};

/// Certify an image in Red Hat's catalog and move its tags, and go on wherever that was broken off
///
/// The image is pinned by its digest, pushed once as BASE-N, judged by Red Hat's preflight, and when the public
/// registry serves it, the floating tags BASE-rhcc, BASE and latest are moved to the very same bytes.
#[derive(Debug, Parser)]
#[command(name = "certify-rhcc-image", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  certify-rhcc-image next-number --config credentials.json --product server --base 7.6.1
  certify-rhcc-image publish --config credentials.json --product server --base 7.6.1 \\
      --source registry.example.org/server:7.6.1-4321 --journal server-7.6.1.json
  certify-rhcc-image resume --config credentials.json --journal server-7.6.1.json --dry-run
  certify-rhcc-image resume --config credentials.json --journal server-7.6.1.json
  certify-rhcc-image status --journal server-7.6.1.json
  certify-rhcc-image rollback --config credentials.json --journal server-7.6.1.json

Exit codes: 0 done, 1 failed, 2 wrong input, 3 refused by a safety rule (nothing was written).";

#[derive(Debug, Subcommand)]
enum Command {
    /// Begin a certification
    Publish(Box<Publish>),
    /// Go on with one
    Resume(Resume),
    /// Say how far one is
    Status(Status),
    /// The first rebuild number that no tag has
    NextNumber(NextNumber),
    /// Give the floating tags back what they held before
    Rollback(Rollback),
}

#[derive(Debug, Args)]
struct Publish {
    /// What is certified
    #[arg(long, value_name = "REF")]
    source: ImageReference,

    /// The release that the tags are named after
    #[arg(long, value_name = "BASE")]
    base: Tag,

    /// The rebuild [default: the first number that no tag has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    number: Option<u64>,

    /// An architecture that the image must have; may be given several times
    #[arg(long, value_name = "ARCH", default_values = ["amd64", "arm64"])]
    arch: Vec<Architecture>,

    /// Move `latest`, too
    #[arg(long)]
    latest: bool,

    /// Certify the same layers as a new image: every configuration gets one more entry in its history
    #[arg(long)]
    freshen: bool,

    /// Certify an index without its attestations, which the catalog does not take
    #[arg(long)]
    drop_attestations: bool,

    /// Go on with a certification whose journal is lost: the unique tag is there, and holds this very image
    #[arg(long, requires = "number")]
    adopt: bool,

    /// Which of the configuration's products
    #[arg(long, value_name = "NAME")]
    product: String,

    #[command(flatten)]
    run: Resume,
}

#[derive(Debug, Args)]
struct Resume {
    /// Keeps how far it is; what was left is in the same folder
    #[arg(long, value_name = "FILE")]
    journal: PathBuf,

    /// Look at everything and say what would be written, but write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    wait: Wait,

    #[command(flatten)]
    site: Site,
}

#[derive(Debug, Args)]
struct Status {
    /// The journal
    #[arg(long, value_name = "FILE")]
    journal: PathBuf,
}

#[derive(Debug, Args)]
struct NextNumber {
    /// The release
    #[arg(long, value_name = "BASE")]
    base: Tag,

    /// Which of the configuration's products
    #[arg(long, value_name = "NAME")]
    product: String,

    #[command(flatten)]
    site: Site,
}

#[derive(Debug, Args)]
struct Rollback {
    /// The journal
    #[arg(long, value_name = "FILE")]
    journal: PathBuf,

    /// Say what would be written, but write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    site: Site,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments { common, command } = Arguments::parse();
    let quiet = common.quiet;
    match command {
        Command::Publish(arguments) => super::run(&common, arguments.run(quiet)),
        Command::Resume(arguments) => super::run(&common, arguments.run(quiet)),
        Command::Status(arguments) => super::run(&common, async move {
            Ok(Certified::new(Journal::look(&arguments.journal)?, Vec::new()))
        }),
        Command::NextNumber(arguments) => super::run(&common, arguments.run()),
        Command::Rollback(arguments) => super::run(&common, async move {
            let mut journal = Journal::open(&arguments.journal)?;
            let setup = Setup::of_journal(&arguments.site, &journal)?;
            Ok(rhcc::rollback(&setup.client, &mut journal, arguments.dry_run).await?)
        }),
    }
}

impl Publish {
    async fn run(self, quiet: bool) -> Result<Resumed, Failure> {
        let setup = Setup::of(&self.run.site, &self.product)?;
        let preflight = self.run.wait.ready(&setup).await?;
        let (mut journal, pinned) = self.prepare(&setup).await?;
        if self.run.dry_run {
            let writes = plan(&setup.client, &journal, Some(&pinned)).await?;
            return Ok(Resumed::Not(Planned::new(&journal, writes)));
        }
        drop(pinned);
        journal.begin()?;
        let warnings = self.run.wait.certify(&setup, preflight, &mut journal, quiet).await?;
        Ok(Resumed::Done(Box::new(Certified::new(journal, warnings))))
    }

    /// Everything that only reads.
    async fn prepare(&self, setup: &Setup) -> Result<(Journal, Pinned), Failure> {
        let numbers = setup.numbers(&self.base).await?;
        let number = self.number.unwrap_or_else(|| numbers.next());
        let token = format!("{}-{number}", self.base);
        let made = Made {
            drop_attestations: self.drop_attestations,
            token: self.freshen.then_some(token.as_str()),
        };
        let required: Vec<String> =
            self.arch.iter().map(|it| it.platform().architecture.clone()).collect();
        let pinned = pin(&setup.client, &self.source, &required, &made).await?;
        let journal = Journal::new(
            &self.run.journal,
            (&self.product, &setup.project),
            (&setup.upload, &setup.public),
            (&pinned, &made),
            (&self.base, number),
            self.floating()?,
        )?;
        rhcc::guard(&setup.client, setup.pyxis.as_ref(), &journal, &pinned, self.adopt).await?;
        numbers.allow(number, self.adopt)?;
        Ok((journal, pinned))
    }

    /// The least pulled first.
    fn floating(&self) -> Result<Vec<Tag>, Failure> {
        let canary = format!("{}-rhcc", self.base).parse().map_err(Failure::input)?;
        let latest: Tag = "latest".parse().map_err(Failure::input)?;
        let more = (self.latest && self.base != latest).then_some(latest);
        Ok([canary, self.base.clone()].into_iter().chain(more).collect())
    }
}

impl Resume {
    async fn run(self, quiet: bool) -> Result<Resumed, Failure> {
        let mut journal = Journal::open(&self.journal)?;
        let setup = Setup::of_journal(&self.site, &journal)?;
        let preflight = self.wait.ready(&setup).await?;
        if self.dry_run {
            let writes = plan(&setup.client, &journal, None).await?;
            return Ok(Resumed::Not(Planned::new(&journal, writes)));
        }
        let warnings = self.wait.certify(&setup, preflight, &mut journal, quiet).await?;
        Ok(Resumed::Done(Box::new(Certified::new(journal, warnings))))
    }
}

impl NextNumber {
    async fn run(self) -> Result<Number, Failure> {
        let setup = Setup::of(&self.site, &self.product)?;
        let number = setup.numbers(&self.base).await?.next();
        Ok(Number { number, base: self.base.to_string() })
    }
}
