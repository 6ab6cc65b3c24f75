//! Measures `image-promoter` on a tree of manifests of production size, and beside a loop of skopeo:
//! `make bench BENCH=promoter`, or `cargo bench --bench promoter -- --only plan --rounds 1`.
//!
//! The program itself is run; time and peak memory are those of its process. `docs/benchmarks.md` holds the last
//! run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
#![allow(clippy::print_stderr, clippy::cast_precision_loss, reason = "it talks to people")]
#![allow(unreachable_pub, reason = "a program has no users outside")]

mod carry;
mod server;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "each program uses a part")]
mod support;
mod tree;

use std::path::{Path, PathBuf, absolute};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use clap::Parser;

use self::server::{GOOGLE, Registry};
use self::support::place::Place;
use self::support::{Outcome, machine, page};
use self::tree::Tree;

/// Measures image-promoter
#[derive(Debug, Parser)]
struct Arguments {
    /// Only scenarios whose names start so
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,

    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Rewrite the table of docs/benchmarks.md
    #[arg(long)]
    update: bool,

    /// The program
    #[arg(long, default_value = env!("CARGO_BIN_EXE_image-promoter"))]
    program: PathBuf,

    /// `buildset-registry`
    #[arg(long, default_value = env!("CARGO_BIN_EXE_buildset-registry"))]
    registry: PathBuf,

    /// Where the programs of `benches/install` are
    #[arg(long, default_value = "target/bench/tools")]
    tools: PathBuf,

    /// cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One line of the table.
struct Row {
    name: &'static str,
    seconds: f64,
    mebibytes: f64,
    /// What is demanded: seconds, where it is anything, and MiB.
    goal: (Option<f64>, f64),
    what: String,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let about = machine::describe();
    let mut text = machine::heading(&about);
    let rows = alone(arguments)?;
    if !rows.is_empty() {
        text.push_str(&table(&rows));
    }
    if wanted("three destinations", arguments) {
        let place = Place::new(absolute(&arguments.registry)?, absolute(&arguments.tools)?)?;
        let carried = carry::measure(&place, &arguments.program, arguments.rounds)?;
        text.push_str(&format!("\n{carried}"));
    }
    if arguments.update {
        page::update("promoter", &text)?;
    }
    Ok(())
}

fn wanted(name: &str, arguments: &Arguments) -> bool {
    let only = &arguments.only;
    only.is_empty() || only.iter().any(|it| name.starts_with(it.as_str()))
}

/// What is measured of the program alone.
fn alone(arguments: &Arguments) -> Outcome<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let tree = Tree::of_production_size(folder.path())?;
    let mut rows = Vec::new();
    let edges = format!("{} edges of {} digests", tree.edges, tree.digests);
    let mut measure = |name, goal, what: &str, options: &[&str]| -> Outcome<()> {
        if wanted(name, arguments) {
            let what = what.to_owned();
            let (seconds, mebibytes) = median(&arguments.program, options, arguments.rounds)?;
            println!("{name:16} {seconds:7.2} s {mebibytes:7.0} MiB");
            rows.push(Row { name, seconds, mebibytes, goal, what });
        }
        Ok(())
    };
    let manifests = tree.folder.to_str().ok_or("a path that is no text")?;
    let inventory = tree.inventory.to_str().ok_or("a path that is no text")?;
    measure("check", (Some(1.5), 200.0), &edges, &["check", "--thin-manifest-dir", manifests])?;
    let plan =
        ["plan", "--no-ambient-config", "--thin-manifest-dir", manifests, "--inventory", inventory];
    let megabytes = std::fs::metadata(&tree.inventory)?.len() / 1_000_000;
    let what = format!("{edges}, against {megabytes} MB of JSON");
    measure("plan", (Some(3.0), 400.0), &what, &plan)?;
    let registry = Registry::start()?;
    let small = Tree::in_registry(&folder.path().join("small"), &registry)?;
    let manifests = small.folder.to_str().ok_or("a path that is no text")?;
    let host = registry.address.to_string();
    let plain = ["--no-ambient-config", "--plain-http", &host];
    let nothing =
        [&["promote", "--confirm", "--thin-manifest-dir", manifests][..], &plain].concat();
    let what = "1,000 repositories, each answer 5 ms late, with the look for referrers";
    measure("nothing to do", (Some(15.0), 400.0), what, &nothing)?;
    let path = format!("{host}/{GOOGLE}");
    let snapshot = [&["snapshot", &path][..], &plain].concat();
    let what = "50,000 digests in 50 repositories of a registry that lists as Google's do";
    measure("snapshot", (None, 100.0), what, &snapshot)?;
    Ok(rows)
}

/// The medians of time and peak memory.
fn median(program: &Path, options: &[&str], rounds: usize) -> Outcome<(f64, f64)> {
    let mut all = Vec::new();
    for _ in 0..rounds.max(1) {
        let started = Instant::now();
        let output = Command::new("/usr/bin/time")
            .args(["-f", "%M"])
            .arg(program)
            .args(options)
            .stdout(Stdio::null())
            .output()?;
        let seconds = started.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Err(said.into());
        }
        let kibibytes: f64 = said.lines().last().unwrap_or_default().trim().parse()?;
        all.push((seconds, kibibytes / 1024.0));
    }
    all.sort_by(|left, right| left.0.total_cmp(&right.0));
    all.get(all.len() / 2).copied().ok_or_else(|| "nothing was measured".into())
}

fn table(rows: &[Row]) -> String {
    let mut text =
        "| scenario | time | wanted | peak memory | wanted | |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for Row { name, seconds, mebibytes, goal, what } in rows {
        let limit = goal.0.map_or_else(String::new, |limit| format!("< {limit} s"));
        text.push_str(&format!(
            "| {name} | {seconds:.2} s | {limit} | {mebibytes:.0} MiB | < {} MiB | {what} |\n",
            goal.1
        ));
    }
    text
}
