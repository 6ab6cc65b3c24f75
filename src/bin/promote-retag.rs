//! The door to `promote-retag`; its command line is `zuul_images::cli::promote_retag`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    zuul_images::cli::promote_retag::main()
}
