//! What registries hold, as far as the edges ask: which of their digests are where, and what their tags are.

mod file;
mod held;
mod network;
mod walk;

#[cfg(feature = "fuzzing")]
pub(super) use self::file::read_yaml;
pub(super) use self::file::{Sink, read_file};
pub use self::held::Inventory;
pub use self::network::Asking;
pub use self::walk::{Contents, Details};
