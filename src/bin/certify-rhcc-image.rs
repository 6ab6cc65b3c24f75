//! The door to `certify-rhcc-image`; its command line is `zuul_images::cli::certify_rhcc_image`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    zuul_images::cli::certify_rhcc_image::main()
}
