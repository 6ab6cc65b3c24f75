//! `Authorization`, scopes and challenges: nothing we did not sign is a token of ours.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| zuul_images::registry::fuzzing::authorization(data));
