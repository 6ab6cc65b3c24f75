//! The program `buildset-registry`: an OCI registry for one buildset, or for a site.

mod configure_client;
mod init;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::args::Common;

/// A registry for container images and other OCI artifacts, made for Zuul's buildsets
#[derive(Debug, Parser)]
#[command(name = "buildset-registry", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make certificate authority, certificate, password and configuration; print the connection
    Init(init::Arguments),
    /// Point the container tools of this host at a registry, or take that back
    ConfigureClient(configure_client::Arguments),
    /// Serve until SIGTERM; print addresses and process id as one line of JSON once it answers
    Serve(serve::Arguments),
}

const EXAMPLES: &str = "\
Examples:
  Make a registry on this host and start it in the background; what clients need to know is in
  ~/registry/connection.json afterwards:
    buildset-registry init --root ~/registry --host 192.0.2.7
    buildset-registry serve --root ~/registry --detach

  Stop it; running requests end first:
    kill $(cat ~/registry/serve.pid)

  Serve on a free port of the loopback interface:
    buildset-registry serve --root ~/registry --listen 127.0.0.1:0

  Let podman, buildah, skopeo and docker of this host use it, and undo that:
    buildset-registry configure-client --connection connection.json
    buildset-registry configure-client --undo

Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration, 3 refused (already being served).";

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Init(init) => super::run(&arguments.common, init.run()),
        Command::ConfigureClient(configure) => {
            super::run(&arguments.common, async { configure.run() })
        }
        Command::Serve(serve) => serve.run(&arguments.common),
    }
}
