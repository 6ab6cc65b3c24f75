//! Paths: the parts of a route make the same route again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| zuul_images::registry::fuzzing::route(path));
