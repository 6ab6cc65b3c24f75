use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::manifests::{Judged, Source};
use crate::cli::exit::Failure;
use crate::cli::output::Report;
use crate::promoter::{self, Inventory, Planned};

#[derive(Debug, Args)]
pub(super) struct Plan {
    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    rules: Rules,

    #[command(flatten)]
    inventory: InventoryFile,
}

#[derive(Debug, Args)]
pub(super) struct Rules {
    /// Pass over images that the source does not have any more instead of refusing the run
    #[arg(long)]
    pub(super) allow_lost: bool,
}

#[derive(Debug, Args)]
pub(super) struct InventoryFile {
    /// What the registries hold, instead of asking them: registry → image → digest → tags, as YAML or JSON
    #[arg(long = "inventory", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

impl Plan {
    pub(super) async fn run(self) -> Result<Judged<Planned>, Failure> {
        let read = self.source.read()?;
        if read.problems.has_errors() {
            return Ok(Judged::Wrong(read.problems));
        }
        let edges = read.edges;
        let Some(file) = self.inventory.file else {
            return Err(Failure::input("give --inventory"));
        };
        let inventory = Inventory::read(&file, &edges)?;
        let plan = promoter::Plan::new(&edges, &inventory);
        Ok(Judged::Fine(Planned { edges, inventory, plan, allow_lost: self.rules.allow_lost }))
    }
}

impl Report for Planned {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        Planned::write_text(self, out)
    }

    fn failure(&self) -> Option<Failure> {
        (!self.is_clean()).then(|| Failure::refused(self.objection()))
    }
}
