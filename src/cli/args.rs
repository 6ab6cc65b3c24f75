//! Options that several programs take.

use std::path::PathBuf;

use clap::Args;

use super::log::LogFormat;
use super::output::Format;

/// Options of every program.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct Common {
    /// What stdout gets: a text for people or one JSON document [default: text on a terminal, else json]
    #[arg(long, value_enum, global = true)]
    output: Option<Format>,

    /// How log lines on stderr look
    #[arg(long, value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,

    /// Say more on stderr; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,

    /// Say only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

impl Common {
    /// The format asked for, or what suits stdout.
    #[must_use]
    pub fn output(&self) -> Format {
        self.output.unwrap_or_else(Format::for_stdout)
    }
}

/// Options of every program that talks to registries.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub struct Network {
    /// Logins from this auth.json or docker config.json instead of the usual places
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,

    /// Logins from a `container_registry_credentials` mapping (YAML or JSON)
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,

    /// Trust the certificates in PEM for this registry, beside the system's
    #[arg(long, value_name = "HOST[:PORT]=PEM")]
    pub ca_file: Vec<String>,

    /// Speak HTTP without TLS to this registry
    #[arg(long, value_name = "HOST[:PORT]")]
    pub plain_http: Vec<String>,

    /// Read no HOME, auth.json, certs.d, credential helper or proxy variable: only files named here
    #[arg(long)]
    pub no_ambient_config: bool,

    /// How many blobs move at once
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub parallel: usize,
}
