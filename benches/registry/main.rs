//! Measures the registry beside its peers: `make bench`, or
//! `cargo bench --bench registry -- --only blob-get-1 --rounds 1`.
//!
//! Every scenario is run by all its contestants in turn, round after round, so that what else the
//! machine does falls on all; what counts are ratios of medians of one run. `docs/benchmarks.md` holds
//! the last full run on a quiet machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
#![allow(clippy::print_stderr, clippy::cast_precision_loss, reason = "it talks to people")]
#![allow(unreachable_pub, reason = "a program has no users outside")]

mod contestants;
mod footprint;
mod load;
mod reads;
mod report;
mod scenario;
mod serve;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "each program uses a part")]
mod support;
mod through;
mod writes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use self::report::Report;
use self::scenario::Bench;
use self::support::place::Place;
use self::support::{Outcome, machine, page};

/// Measures the registry beside its peers
#[derive(Debug, Parser)]
struct Arguments {
    /// Only scenarios whose names start so; may be repeated, or be a list with commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,

    /// Only these contestants, by the start of their names
    #[arg(long, value_delimiter = ',')]
    contestants: Vec<String>,

    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// Print the scenarios and their targets
    #[arg(long)]
    list: bool,

    /// Where the JSON document goes
    #[arg(long, default_value = "target/bench/registry.json")]
    json: PathBuf,

    /// Rewrite the table of docs/benchmarks.md
    #[arg(long)]
    update: bool,

    /// Exit with 1 when a target is missed or something could not be measured
    #[arg(long)]
    strict: bool,

    /// Measure this program instead of the one just built
    #[arg(long, default_value = env!("CARGO_BIN_EXE_buildset-registry"))]
    registry: PathBuf,

    /// Where the programs of `benches/install` are
    #[arg(long, default_value = "target/bench/tools")]
    tools: PathBuf,

    /// Be a server of the harness
    #[arg(long, hide = true, requires_all = ["folder", "listen"])]
    serve: Option<serve::Role>,
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
    #[arg(long, hide = true)]
    listen: Option<SocketAddr>,

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
    if let (Some(role), Some(folder), Some(listen)) =
        (arguments.serve, &arguments.folder, arguments.listen)
    {
        serve::run(role, folder, listen)?;
        return Ok(true);
    }
    let all = scenario::all();
    if arguments.list {
        all.iter().for_each(|scenario| println!("{:22} {}", scenario.name, scenario.title));
        return Ok(true);
    }
    let wanted = |name: &str, list: &[String]| {
        list.is_empty() || list.iter().any(|start| name.starts_with(start.as_str()))
    };
    zuul_images::serve::raise_file_limit();
    let tools = std::path::absolute(&arguments.tools)?;
    let place = Place::new(std::path::absolute(&arguments.registry)?, tools)?;
    let mut bench = Bench::new(place);
    let mut report = Report::new(machine::describe());
    for scenario in all.iter().filter(|scenario| wanted(scenario.name, &arguments.only)) {
        let contestants: Vec<_> = scenario
            .contestants
            .iter()
            .copied()
            .filter(|contestant| wanted(contestant.name(), &arguments.contestants))
            .collect();
        let measured = bench.measure(scenario, &contestants, arguments.rounds);
        let measured = report.add(measured);
        println!("{}", report::line(measured));
    }
    page::write(&arguments.json, &serde_json::to_string_pretty(&report.document())?)?;
    println!("\n{}", report.table());
    println!("JSON: {}", arguments.json.display());
    if arguments.update {
        page::update("measured", &report.table())?;
    }
    Ok(!arguments.strict || report.reached())
}
