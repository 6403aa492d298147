//! IDX files from bytes.
#![no_main]

use gradus::prelude::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_idx::<f32>(bytes);
});
