//! Measures copying images beside skopeo, crane and regclient: `make bench BENCH=copy`, or
//! `cargo bench --bench copy -- --only cold-512m --rounds 1`.
//!
//! Every scenario is run by all its contestants in turn, round after round, so that what else the
//! machine does falls on all; what counts are ratios of medians of one run. `docs/benchmarks.md` holds
//! the last full run on a quiet machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
#![allow(clippy::print_stderr, clippy::cast_precision_loss, reason = "it talks to people")]
#![allow(unreachable_pub, reason = "a program has no users outside")]

mod bench;
mod goals;
mod measure;
mod programs;
mod report;
mod scenario;
mod sets;
mod site;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "each program uses a part")]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use self::bench::Bench;
use self::report::Report;
use self::scenario::{ALL, Contestant};
use self::support::place::Place;
use self::support::{Outcome, machine, page};

/// Measures copying images beside skopeo, crane and regclient
#[derive(Debug, Parser)]
struct Arguments {
    /// Only scenarios whose names start so; may be repeated, or be a list with commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,

    /// Only these programs, by the start of their names
    #[arg(long, value_delimiter = ',')]
    programs: Vec<String>,

    /// Only between registries of this kind, by the start of its name
    #[arg(long, value_delimiter = ',')]
    sites: Vec<String>,

    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Print the scenarios
    #[arg(long)]
    list: bool,

    /// Where the JSON document goes
    #[arg(long, default_value = "target/bench/copy.json")]
    json: PathBuf,

    /// Rewrite the table of docs/benchmarks.md
    #[arg(long)]
    update: bool,

    /// Exit with 1 when a target is missed or something could not be measured
    #[arg(long)]
    strict: bool,

    /// Measure this registry and the programs beside it instead of those just built
    #[arg(long, default_value = env!("CARGO_BIN_EXE_buildset-registry"))]
    registry: PathBuf,

    /// Where the programs of `benches/install` are
    #[arg(long, default_value = "target/bench/tools")]
    tools: PathBuf,

    /// cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<bool> {
    if arguments.list {
        ALL.iter().for_each(|scenario| println!("{:22} {}", scenario.name, scenario.title));
        return Ok(true);
    }
    let scenarios: Vec<_> =
        ALL.iter().filter(|scenario| wanted(scenario.name, &arguments.only)).collect();
    if scenarios.is_empty() {
        return Ok(true);
    }
    let registry = std::path::absolute(&arguments.registry)?;
    let programs = registry.parent().ok_or("the registry is in no folder")?;
    let programs = bench::programs(programs)?;
    let place = Place::new(registry, std::path::absolute(&arguments.tools)?)?;
    let mut bench = Bench::new(place, programs);
    let mut report = Report::new(machine::describe());
    for scenario in scenarios {
        let chosen = |it: &Contestant| {
            wanted(it.program.name(), &arguments.programs)
                && wanted(it.site.name(), &arguments.sites)
        };
        let contestants: Vec<_> =
            scenario.contestants.concat().into_iter().filter(chosen).collect();
        let measured = bench.measure(scenario, &contestants, arguments.rounds);
        println!("{}", report.add(measured));
    }
    page::write(&arguments.json, &serde_json::to_string_pretty(&report.document())?)?;
    println!("\n{}", report.text());
    println!("JSON: {}", arguments.json.display());
    if arguments.update {
        page::update("copies", &report.text())?;
    }
    Ok(!arguments.strict || report.reached())
}

fn wanted(name: &str, list: &[String]) -> bool {
    list.is_empty() || list.iter().any(|start| name.starts_with(start.as_str()))
}
