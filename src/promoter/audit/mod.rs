//! Whether what is in registries was promoted: all of it at once, or each change when it is told.

mod event;
mod expected;
mod listen;
mod state;
mod verdict;

#[cfg(feature = "fuzzing")]
pub(super) use self::event::Action;
pub use self::event::{Event, Malformed, events};
pub use self::expected::Expected;
pub use self::listen::{Auditor, Manifested};
pub use self::state::{Audited, audit};
pub use self::verdict::{Children, Verdict};
