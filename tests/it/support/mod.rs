//! What several topics need: running programs, images, servers that do wrong.

pub mod alone;
pub mod browser;
pub mod clients;
pub mod distribution;
pub mod docker_host;
pub mod documents;
pub mod engines;
pub mod faulty;
pub mod http;
pub mod hub;
pub mod images;
pub mod layouts;
pub mod memory;
pub mod podman;
pub mod process;
pub mod programs;
pub mod proxied;
pub mod quay;
pub mod registry;
pub mod sample;
pub mod site;
pub mod status;
pub mod upstream;
pub mod wait;
pub mod web;
pub mod zuul_registry;
