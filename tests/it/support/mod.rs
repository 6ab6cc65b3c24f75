//! What several topics need: running programs, images, servers.

pub mod images;
pub mod programs;
