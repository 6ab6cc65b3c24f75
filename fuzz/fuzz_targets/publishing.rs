//! What is published and certified: manifests of others, metadata and journals.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zuul_images::{index, rhcc};

fuzz_target!(|data: &[u8]| {
    index::fuzzing::image(data);
    index::fuzzing::metadata(data);
    rhcc::fuzzing::index(data);
    rhcc::fuzzing::journal(data);
});
