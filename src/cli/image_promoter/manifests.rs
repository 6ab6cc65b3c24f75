use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::cli::exit::Failure;
use crate::cli::output::Report;
use crate::promoter::{Edges, Manifests, Problems, only_new};

/// Where the manifests are.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "Manifests")]
pub(super) struct Source {
    /// Manifests that list registries and images in one file
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "thin_manifest_dir")]
    manifest: Vec<PathBuf>,

    /// A folder with manifests/NAME/promoter-manifest.yaml and images/NAME/images.yaml
    #[arg(long, value_name = "DIR")]
    thin_manifest_dir: Option<PathBuf>,

    /// Only what is new since this commit of the folder's git repository
    #[arg(long, value_name = "GITREV")]
    since: Option<String>,

    /// Name files in problems by their paths below this folder, and read none that lies elsewhere
    #[arg(long, value_name = "DIR")]
    relative_to: Option<PathBuf>,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) manifests: Manifests,
    pub(super) edges: Edges,
    pub(super) problems: Problems,
    /// Registry and who one is there.
    pub(super) accounts: Vec<(String, String)>,
    /// The registries that images go to.
    pub(super) destinations: BTreeSet<String>,
}

impl Source {
    /// Reads them; with `leave_bad` those that are wrong are left out, though told.
    pub(super) fn read(&self, leave_bad: bool) -> Result<Read, Failure> {
        self.judge_places()?;
        let mut manifests = match &self.thin_manifest_dir {
            Some(folder) => Manifests::thin(folder)?,
            None if self.manifest.is_empty() => {
                return Err(Failure::input("give --manifest or --thin-manifest-dir"));
            }
            None => Manifests::plain(&self.manifest)?,
        };
        let mut edges = match leave_bad {
            true => Edges::of_good(&mut manifests),
            false => Edges::of(&mut manifests),
        };
        if let Some(revision) = &self.since {
            let mut old = match &self.thin_manifest_dir {
                Some(folder) => Manifests::thin_at(folder, revision)?,
                None => Manifests::plain_at(&self.manifest, revision)?,
            };
            // Of a manifest with errors nothing can have been promoted.
            only_new(&mut edges, &Edges::of_good(&mut old));
        }
        let accounts = manifests.accounts();
        let accounts = accounts.map(|(place, it)| (place.to_owned(), it.to_owned())).collect();
        let destinations = manifests.destinations().map(str::to_owned).collect();
        let problems = self.named(manifests.take_problems());
        Ok(Read { manifests, edges, problems, accounts, destinations })
    }

    /// A change may bring links; what lies elsewhere is not the change's to show.
    fn judge_places(&self) -> Result<(), Failure> {
        let Some(folder) = &self.relative_to else { return Ok(()) };
        for path in self.manifest.iter().chain(&self.thin_manifest_dir) {
            // What is not there is told when it is read.
            let Ok(target) = path.canonicalize() else { continue };
            if !folder.canonicalize().is_ok_and(|folder| target.starts_with(folder)) {
                let (path, folder) = (path.display(), folder.display());
                let message = format!("{path} is, or is a link to, something outside of {folder}");
                return Err(Failure::input(message).on(path));
            }
        }
        Ok(())
    }

    /// With the names of files that are wanted.
    pub(super) fn named(&self, mut problems: Problems) -> Problems {
        if let Some(folder) = &self.relative_to {
            problems.relative_to(folder);
        }
        problems
    }
}

/// What may be had only of manifests without errors, else what is wrong with them.
pub(super) enum Judged<R> {
    Fine(R),
    Wrong(Problems),
}

impl<R: Serialize> Serialize for Judged<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fine(report) => report.serialize(serializer),
            Self::Wrong(problems) => {
                let mut map = serializer.serialize_map(None)?;
                serialize_problems(&mut map, problems)?;
                map.end()
            }
        }
    }
}

impl<R: Report> Report for Judged<R> {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Fine(report) => report.write_text(out),
            Self::Wrong(problems) => write_problems(problems, out),
        }
    }

    fn failure(&self) -> Option<Failure> {
        match self {
            Self::Fine(report) => report.failure(),
            Self::Wrong(problems) => failure(problems),
        }
    }
}

/// `problems` and, for `zuul_return`, `zuul.file_comments`.
pub(super) fn serialize_problems<M: SerializeMap>(
    map: &mut M,
    problems: &Problems,
) -> Result<(), M::Error> {
    map.serialize_entry("problems", problems)?;
    let comments = serde_json::json!({ "file_comments": problems.file_comments() });
    map.serialize_entry("zuul", &comments)
}

pub(super) fn write_problems(problems: &Problems, out: &mut dyn Write) -> io::Result<()> {
    problems.iter().try_for_each(|problem| out.write_all(problem.shown().as_bytes()))
}

/// Why the program fails for what is wrong in manifests.
pub(super) fn failure(problems: &Problems) -> Option<Failure> {
    let mut errors = problems.errors();
    let first = errors.next()?;
    let more = match errors.count() {
        0 => String::new(),
        count => format!("; {count} more"),
    };
    let place = format!("{}:{}:{}", first.file, first.line, first.column);
    let message = format!("{place}: {}{more}", first.message);
    Some(Failure::failed("problems", message).on(place))
}
