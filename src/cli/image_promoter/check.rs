use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::manifests::{Read, Source, failure, serialize_problems, write_problems};
use crate::cli::args::Common;
use crate::cli::exit::Failure;
use crate::cli::output::{self, Report};
use crate::promoter::{Level, Problems};

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    source: Source,

    /// Also list every edge: SRC/IMAGE@DIGEST -> DST/IMAGE:TAG (or @DIGEST)
    #[arg(long)]
    edges: bool,

    /// Take warnings for errors
    #[arg(long)]
    strict: bool,

    /// Print only the problems: `zuul` as file comments {file: [{line, message, level}]}, `github` as
    /// lines that GitHub's actions show beside the code
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "edges")]
    annotations: Option<Annotations>,

    /// Nothing but the manifests is read anyway
    #[arg(long, hide = true)]
    no_ambient_config: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Annotations {
    Zuul,
    Github,
}

/// What was found.
struct Checked {
    read: Read,
    list_edges: bool,
}

impl Check {
    pub(super) fn main(self, common: &Common) -> ExitCode {
        common.start_log();
        tracing::debug!(no_ambient_config = self.no_ambient_config, "reading manifests only");
        let read = self.source.read(false);
        let read = read.map(|read| match self.strict {
            true => Read { problems: read.problems.strict(), ..read },
            false => read,
        });
        match (self.annotations, read) {
            (None, read) => {
                let checked = read.map(|read| Checked { read, list_edges: self.edges });
                output::finish(common.output(), checked)
            }
            (Some(annotations), Ok(read)) => {
                let failure = failure(&read.problems);
                output::finish_as(|out| annotations.write(&read.problems, out), failure.as_ref())
            }
            (Some(_), Err(failure)) => output::finish_as(|_| Ok(()), Some(&failure)),
        }
    }
}

impl Annotations {
    fn write(self, problems: &Problems, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Zuul => {
                serde_json::to_writer(&mut *out, &problems.file_comments())?;
                out.write_all(b"\n")
            }
            Self::Github => problems.iter().try_for_each(|problem| {
                let file = escaped(&problem.file).replace(':', "%3A").replace(',', "%2C");
                let level = match problem.level {
                    Level::Error => "error",
                    Level::Warning => "warning",
                };
                let (line, column) = (problem.line, problem.column);
                let message = escaped(&problem.message);
                writeln!(out, "::{level} file={file},line={line},col={column}::{message}")
            }),
        }
    }
}

/// As GitHub's workflow commands want it.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

impl Serialize for Checked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { read: Read { manifests, edges, problems, .. }, list_edges } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("manifests", &manifests.len())?;
        map.serialize_entry("edge_count", &edges.len())?;
        if *list_edges {
            map.serialize_entry("edges", edges)?;
        }
        serialize_problems(&mut map, problems)?;
        map.end()
    }
}

impl Report for Checked {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Read { manifests, edges, problems, .. } = &self.read;
        if self.list_edges {
            edges.iter().try_for_each(|edge| writeln!(out, "{edge}"))?;
        }
        write_problems(problems, out)?;
        let (manifests, edges, problems) = (manifests.len(), edges.len(), problems.len());
        writeln!(out, "{manifests} manifests, {edges} edges, {problems} problems")
    }

    fn failure(&self) -> Option<Failure> {
        failure(&self.read.problems)
    }
}
