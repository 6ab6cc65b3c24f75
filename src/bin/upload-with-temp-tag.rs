//! The door to `upload-with-temp-tag`; its command line is `zuul_images::cli::upload_with_temp_tag`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    zuul_images::cli::upload_with_temp_tag::main()
}
