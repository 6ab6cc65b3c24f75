//! The door to `image-promoter`; its command line is `zuul_images::cli::image_promoter`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    zuul_images::cli::image_promoter::main()
}
