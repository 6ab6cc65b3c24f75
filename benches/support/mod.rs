//! What the benchmarks have in common: servers as processes of their own, a load client, content, figures.

pub mod client;
pub mod clients;
pub mod content;
pub mod figures;
pub mod image;
pub mod machine;
pub mod page;
pub mod place;
pub mod registries;
pub mod server;

/// What goes wrong is told and ends one measurement.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// Or why not.
pub type Outcome<T> = Result<T, Failure>;
