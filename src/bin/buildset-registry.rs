//! The program `buildset-registry`; see [`zuul_images::cli::buildset_registry`].

use std::process::ExitCode;

fn main() -> ExitCode {
    zuul_images::cli::buildset_registry::main()
}
