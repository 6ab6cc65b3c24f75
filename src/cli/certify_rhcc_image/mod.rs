//! The command line of `certify-rhcc-image`.

mod config;
mod report;
mod setup;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::report::{Certified, Number, Planned};
use self::setup::{Setup, Site, Wait};
use super::args::{Common, Network};
use super::exit::Failure;
use super::output::Report;
use crate::oci::{ImageReference, Tag};
use crate::rhcc::{self, Journal, next_number, pin};

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
    arch: Vec<String>,

    /// Move `latest`, too
    #[arg(long)]
    latest: bool,

    /// Certify the same layers as a new image: every configuration gets one more entry in its history
    #[arg(long)]
    freshen: bool,

    /// Look at everything and say what would be written, but write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    product: Product,

    #[command(flatten)]
    run: Resume,
}

#[derive(Debug, Args)]
struct Product {
    /// Which of the configuration's products
    #[arg(long, value_name = "NAME")]
    product: String,

    /// Where images are uploaded [default: quay.io/redhat-isv-containers/PROJECT]
    #[arg(long, value_name = "REPO")]
    upload_repository: Option<ImageReference>,

    /// Where customers pull [default: registry.connect.redhat.com/NAMESPACE/IMAGE of the configuration]
    #[arg(long, value_name = "REPO")]
    public_repository: Option<ImageReference>,
}

#[derive(Debug, Args)]
struct Resume {
    /// Keeps how far it is; what was left is in the same folder
    #[arg(long, value_name = "FILE")]
    journal: PathBuf,

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

    #[command(flatten)]
    product: Product,

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
        Command::Publish(arguments) if arguments.dry_run => super::run(&common, arguments.plan()),
        Command::Publish(arguments) => super::run(&common, arguments.run(quiet)),
        Command::Resume(arguments) => super::run(&common, arguments.run(quiet)),
        Command::Status(arguments) => super::run(&common, async move {
            Ok(Certified::new(Journal::look(&arguments.journal)?, Vec::new()))
        }),
        Command::NextNumber(arguments) => super::run(&common, arguments.run()),
        Command::Rollback(arguments) => super::run(&common, async move {
            let mut journal = Journal::open(&arguments.journal)?;
            let setup = Setup::for_journal(&arguments.site, &journal)?;
            Ok(rhcc::rollback(&setup.client, &mut journal, arguments.dry_run).await?)
        }),
    }
}

impl Publish {
    async fn plan(self) -> Result<Planned, Failure> {
        let (_, journal, _) = self.prepare().await?;
        Ok(Planned::from(&journal))
    }

    async fn run(self, quiet: bool) -> Result<Certified, Failure> {
        let (setup, mut journal, _) = self.prepare().await?;
        journal.begin()?;
        setup
            .certify(&self.run.wait, &mut journal, quiet)
            .await
            .map(|warnings| Certified::new(journal, warnings))
    }

    /// Everything that only reads.
    async fn prepare(&self) -> Result<(Setup, Journal, rhcc::Pinned), Failure> {
        let setup = Setup::for_product(&self.run.site, &self.product)?;
        self.run.wait.check(&setup.upload)?;
        let number = match self.number {
            Some(number) => number,
            None => setup.next_number(&self.base).await?,
        };
        let token = format!("{}-{number}", self.base);
        let token = self.freshen.then_some(token.as_str());
        let pinned = pin(&setup.client, &self.source, &self.arch, token).await?;
        let tags = [format!("{}-rhcc", self.base), self.base.to_string()];
        let tags = tags.into_iter().chain(self.latest.then(|| "latest".to_owned()));
        let tags: Result<Vec<Tag>, _> = tags.map(|tag| tag.parse()).collect();
        let journal = Journal::new(
            &self.run.journal,
            (&self.product.product, &setup.project),
            (&setup.upload, &setup.public),
            &pinned,
            (self.base.as_str(), number),
            tags.map_err(Failure::input)?,
        )?;
        rhcc::guard(&setup.client, setup.pyxis.as_ref(), &journal, &pinned).await?;
        Ok((setup, journal, pinned))
    }
}

impl Resume {
    async fn run(self, quiet: bool) -> Result<Certified, Failure> {
        let mut journal = Journal::open(&self.journal)?;
        let setup = Setup::for_journal(&self.site, &journal)?;
        self.wait.check(&setup.upload)?;
        let warnings = setup.certify(&self.wait, &mut journal, quiet).await?;
        Ok(Certified::new(journal, warnings))
    }
}

impl NextNumber {
    async fn run(self) -> Result<Number, Failure> {
        let setup = Setup::for_product(&self.site, &self.product)?;
        Ok(Number { number: setup.next_number(&self.base).await?, base: self.base.to_string() })
    }
}

impl Setup {
    async fn next_number(&self, base: &Tag) -> Result<u64, Failure> {
        let repository = self.client.image(&self.upload);
        let tags = match repository.tags().await {
            Err(error) if error.is_not_found() => Vec::new(),
            tags => tags?,
        };
        Ok(next_number(base.as_str(), &tags))
    }
}
