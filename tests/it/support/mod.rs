//! What the tests stand on.

pub mod distribution;
pub mod faulty;
pub mod memory;
pub mod sample;
