//! Records of promotions.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| zuul_images::promote::fuzzing::record(data));
