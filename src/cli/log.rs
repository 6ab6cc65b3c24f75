//! stderr is talk: log lines by level and format.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::progress::BesideBars;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Starts logging on stderr. `RUST_LOG` refines the level where it is set.
pub fn start(format: LogFormat, verbose: u8, quiet: bool) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (false, 0) => "zuul_images=info,warn",
        (false, 1) => "zuul_images=debug,info",
        (false, _) => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let terminal = std::io::stderr().is_terminal();
    let writer = match terminal {
        true => BoxMakeWriter::new(|| BesideBars),
        false => BoxMakeWriter::new(std::io::stderr),
    };
    let lines =
        tracing_subscriber::fmt().with_writer(writer).with_ansi(terminal).with_env_filter(filter);
    // A second start (a test calling two programs) keeps the first.
    let _ = match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}
