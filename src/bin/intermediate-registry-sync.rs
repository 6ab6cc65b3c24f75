//! The door to `intermediate-registry-sync`; its command line is `zuul_images::cli::intermediate_registry_sync`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    zuul_images::cli::intermediate_registry_sync::main()
}
