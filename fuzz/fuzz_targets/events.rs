//! Changes as registries tell them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zuul_images::promoter::fuzzing;

fuzz_target!(|data: &[u8]| fuzzing::told(data));
