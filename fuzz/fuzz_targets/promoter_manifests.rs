//! Promoter manifests and inventories.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zuul_images::promoter::fuzzing;

fuzz_target!(|data: &[u8]| {
    fuzzing::manifests(data);
    if let Ok(text) = std::str::from_utf8(data) {
        fuzzing::inventory(text);
    }
});
