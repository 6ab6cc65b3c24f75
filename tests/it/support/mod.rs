//! What several topics need: running programs, images, servers that do wrong.

pub mod distribution;
pub mod faulty;
pub mod images;
pub mod memory;
pub mod programs;
pub mod sample;
