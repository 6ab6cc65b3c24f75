//! What the tests stand on.

pub(crate) mod distribution;
pub(crate) mod faulty;
pub(crate) mod memory;
pub(crate) mod sample;
