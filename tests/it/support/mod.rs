//! What several topics need: running programs, images, servers.

pub mod clients;
pub mod distribution;
pub mod faulty;
pub mod images;
pub mod meaning;
pub mod memory;
pub mod programs;
pub mod sample;
