//! The door to `publish-image-index`; its command line is `zuul_images::cli::publish_image_index`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    zuul_images::cli::publish_image_index::main()
}
