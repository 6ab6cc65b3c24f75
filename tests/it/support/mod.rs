//! What several topics need: running programs, images, servers.

pub mod http;
pub mod process;
pub mod registry;
