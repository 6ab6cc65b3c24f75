use std::io::{self, Write};

use clap::Args;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::manifests::{Judged, Read, Source, serialize_problems};
use super::reach::Reach;
use crate::cli::exit::Failure;
use crate::cli::output::Report;
use crate::client::Client;
use crate::promoter::{self, Asking, Failed, Inventory, Planned, Problems, Shard};

#[derive(Debug, Args)]
pub(super) struct Plan {
    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    rules: Rules,

    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
pub(super) struct Rules {
    /// Pass over images that the source does not have any more instead of refusing the run
    #[arg(long)]
    allow_lost: bool,

    /// Go on with the rest where a manifest, repository or registry is bad; exit 1 and name what was left
    #[arg(long)]
    pub(super) keep_going: bool,

    /// Only one of N parts, which several jobs share
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
}

/// What was planned, and what could not be.
pub(super) struct Outline {
    pub(super) planned: Planned,
    pub(super) failures: Vec<Failed>,
    /// What is wrong with manifests, and on the lines that ask for it what a rule forbids.
    problems: Problems,
}

impl Plan {
    pub(super) async fn run(self) -> Result<Judged<Outline>, Failure> {
        let Self { source, rules, reach } = self;
        match rules.outline(&source, &reach).await? {
            Judged::Fine((outline, _)) => Ok(Judged::Fine(outline)),
            Judged::Wrong(problems) => Ok(Judged::Wrong(problems)),
        }
    }
}

impl Rules {
    /// Reads manifests and registries and compares them.
    pub(super) async fn outline(
        &self,
        source: &Source,
        reach: &Reach,
    ) -> Result<Judged<(Outline, Client)>, Failure> {
        let Read { manifests, mut edges, mut problems, accounts, .. } =
            source.read(self.keep_going)?;
        if problems.has_errors() && !self.keep_going {
            return Ok(Judged::Wrong(problems));
        }
        let mut failures: Vec<Failed> = problems.errors().map(Failed::from).collect();
        if let Some(shard) = self.shard {
            shard.apply(&mut edges);
        }
        let client = reach.client(&accounts, &problems)?;
        let inventory = match &reach.file {
            Some(file) => Inventory::read(file, &edges)?,
            None => {
                let asking = Asking::new(&client, reach.parallel(), self.keep_going);
                let (inventory, failed) = asking.inventory(&edges).await?;
                edges.leave(&failed);
                failures.extend(failed);
                inventory
            }
        };
        let plan = promoter::Plan::new(&edges, &inventory);
        let planned = Planned { edges, inventory, plan, allow_lost: self.allow_lost };
        problems.extend(source.named(manifests.objected(&planned)));
        Ok(Judged::Fine((Outline { planned, failures, problems }, client)))
    }
}

impl Serialize for Outline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.planned.serialize_entries(&mut map)?;
        map.serialize_entry("failures", &self.failures)?;
        serialize_problems(&mut map, &self.problems)?;
        map.end()
    }
}

impl Report for Outline {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.planned.write_text(out)?;
        write_failures(&self.failures, out)
    }

    fn failure(&self) -> Option<Failure> {
        match self.planned.is_clean() {
            true => failure(&self.failures),
            false => Some(Failure::refused(self.planned.objection())),
        }
    }
}

pub(super) fn write_failures(failures: &[Failed], out: &mut dyn Write) -> io::Result<()> {
    failures
        .iter()
        .try_for_each(|Failed { item, message }| writeln!(out, "FAILED {item}: {message}"))
}

/// Why a program fails that went on with the rest.
pub(super) fn failure(failures: &[Failed]) -> Option<Failure> {
    let Failed { item, message } = failures.first()?;
    let more = match failures.len() {
        1 => String::new(),
        count => format!("; {} more were left", count - 1),
    };
    Some(Failure::failed("partial", format!("{item}: {message}{more}")).on(item))
}
