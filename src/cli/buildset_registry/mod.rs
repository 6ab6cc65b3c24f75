//! The program `buildset-registry`: an OCI registry for one buildset, or for a site.

mod configure_client;
mod init;
mod place;
mod prune;
mod serve;
mod stores;
mod verify;

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
    /// Remove images nobody has pushed or pulled for long, also while another process serves them
    Prune(prune::Arguments),
    /// Read and hash everything, and report what is damaged, also while another process serves it
    Verify(verify::Arguments),
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

  Say what was not used for a week, and remove it; look for damage:
    buildset-registry prune --root ~/registry --older-than 7d --dry-run
    buildset-registry prune --root ~/registry --older-than 7d
    buildset-registry verify --root ~/registry

Exit codes: 0 done, 1 failed or damage found, 2 wrong arguments or configuration, 3 refused (already
being served or pruned).";

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
        Command::Prune(prune) => super::run(&arguments.common, prune.run()),
        Command::Verify(verify) => super::run(&arguments.common, async { verify.run() }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_help_has_examples_that_are_understood() {
        let program = Arguments::command();
        for command in std::iter::once(&program).chain(program.get_subcommands()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let mut examples = 0;
            for line in help.lines().filter_map(|line| line.split_once("buildset-registry ")) {
                let words = line.1.split_whitespace();
                let words: Vec<&str> =
                    words.take_while(|word| !matches!(*word, "&" | ">/dev/null")).collect();
                let parsed =
                    Arguments::try_parse_from([&["buildset-registry"], &words[..]].concat());
                assert!(parsed.is_ok(), "{words:?}: {}", parsed.unwrap_err());
                examples += 1;
            }
            assert!(examples > 0, "{} has no examples", command.get_name());
        }
    }
}
