//! Files of the registry: its configuration, users and their rules.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| zuul_images::registry::fuzzing::files(data));
