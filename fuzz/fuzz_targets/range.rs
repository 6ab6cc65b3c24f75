//! Ranges: what is read lies inside the blob.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, &str)| zuul_images::registry::fuzzing::range(input.0, input.1));
